/* What keys do: in a row of which Tab reaches one entry, and on the whole page. */

/** Returns the index that a key of a row with `n` entries moves to; undefined for other keys. */
export function moveIndex(key, index, n) {
  return {
    ArrowRight: (index + 1) % n,
    ArrowDown: (index + 1) % n,
    ArrowLeft: (index + n - 1) % n,
    ArrowUp: (index + n - 1) % n,
    Home: 0,
    End: n - 1,
  }[key];
}

/**
 * Whether a key is not for the page: it has a modifier, somebody has used it, or the control in focus
 * takes it, as a field for text does.
 *
 * @param {KeyboardEvent} event
 */
export function isKeyTaken({ target, defaultPrevented, altKey, ctrlKey, metaKey }) {
  if (defaultPrevented || altKey || ctrlKey || metaKey) return true;
  return Boolean(
    target.closest?.("input, select, textarea, video, audio, [contenteditable], dialog"),
  );
}
