/* What the browser remembers for the visitor; it may forbid that, and then nothing is remembered. */

/** Returns a remembered text; null if there is none. */
export function readText(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** Remembers a text, until the page is closed at least. */
export function keepText(key, text) {
  try {
    localStorage.setItem(key, text);
  } catch {
    // It holds until the page is closed.
  }
}
