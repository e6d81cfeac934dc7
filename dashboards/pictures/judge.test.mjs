// node --test
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close } from './judge.mjs';

test('a text says a number as exactly as its digits do', () => {
  for (const [text, value, want] of [
    ['59.3%', 0.59321, true], ['59.3%', 0.5942, false], ['16.6 req/s', 16.553, true], ['30.4 c/s', 30.441, true], ['30.4 c/s', 30.46, false], ['475 ms', 0.4751, true], ['475 ms', 0.4761, false],
    ['1.20 s', 1.2, true], ['12', 12, true], ['12', 12.6, false], ['19.4 MiB', 19.4 * 1024 ** 2, true], ['1.5 K', 1512, true], ['-0.0349', -0.034912, true],
    ['0', 0.6, false], ['-', 0, false], ['none', 0, false], ['3 apples', 3, false], ['', 0, false],
  ]) {
    assert.equal(close(text, value), want, `${text} for ${value}`);
  }
});
