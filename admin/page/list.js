export const set = (node, value) => {
  if (node.textContent !== value) node.textContent = value;
};

// keep makes a list have n children, and fills each.
export function keep(parent, n, make, fill) {
  while (parent.children.length < n) parent.append(make());
  while (parent.children.length > n) parent.lastElementChild.remove();
  for (let i = 0; i < n; i++) fill(parent.children[i], i);
}
