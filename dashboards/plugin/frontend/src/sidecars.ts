import type { Sidecar } from './types';

const namePattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;

export const maxSidecars = 100;

// faultOf says what is wrong with one of the sidecars, as the backend would; '' where
// nothing is.
export function faultOf(sidecars: Sidecar[], index: number): string {
  const { name, url } = sidecars[index]!;
  if (name === '' && url === '') {
    return '';
  }
  if (!namePattern.test(name)) {
    return 'A name has 1 to 63 letters, digits, dots, dashes or underscores';
  }
  if (sidecars.some((s, i) => i < index && s.name === name)) {
    return `Another one is named ${name}`;
  }
  const address = parse(url);
  if (!address) {
    return 'Write http://host:port or https://host:port';
  }
  if (address.username || address.password || address.search || address.hash) {
    return 'Leave user, password and query out';
  }
  return '';
}

function parse(url: string): URL | undefined {
  try {
    const address = new URL(url.includes('://') ? url : `http://${url}`);
    return /^https?:$/.test(address.protocol) && address.hostname ? address : undefined;
  } catch {
    return undefined;
  }
}

// inClear names the sidecars that would get a token over a network in clear text.
export function inClear(sidecars: Sidecar[]): string[] {
  return sidecars
    .filter(({ url }) => {
      const address = parse(url);
      return address?.protocol === 'http:' && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(address.hostname);
    })
    .map((s) => s.name);
}
