/* What went wrong, for the visitor in one sentence and for the page as a code. */

/**
 * An error with a `code`: "no_wasm", "no_simd", "fetch", "cut_off", "hash", "newer", "config",
 * "memory", "model", "self_test", "bad_frame" or "bad_state".
 */
export class LocalError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "LocalError";
    this.code = code;
  }
}

/** Returns `error` as a LocalError; running out of memory is told from a model that fails. */
export function asLocalError(error, code, message) {
  if (error instanceof LocalError) return error;
  const said = String((error && error.message) || error);
  // Of WebAssembly, of the allocator inside the runtime, and of arrays.
  if (
    /out of memory|bad_alloc|allocation failed|could not allocate|invalid array length|memory\.grow/i.test(
      said,
    )
  ) {
    return new LocalError("memory", "This device has not enough free memory for the recogniser.");
  }
  return new LocalError(code, `${message} Received: ${said}`);
}
