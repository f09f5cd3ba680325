/* What went wrong: for the visitor in plain words, for the page as a code, for the log in detail. */

const ADVICE = "Reload the page; if that does not help, tell its host.";

/**
 * An error with a `code`: "no_wasm", "no_simd", "fetch", "cut_off", "hash", "newer", "config",
 * "memory", "model", "self_test", "insecure", "closed", "cancelled", "bad_frame", "bad_state" or
 * "internal".
 */
export class LocalError extends Error {
  /** @param {string} [detail] what was expected and what came, for the console */
  constructor(code, message, detail = "") {
    super(message);
    this.name = "LocalError";
    this.code = code;
    this.detail = detail;
  }
}

/** Returns what to say of a file of the recogniser that `what` ("is damaged") is wrong with. */
export const describeFile = (name, what) => `The recogniser's file ${name} ${what}. ${ADVICE}`;

/** Returns what to say where `what` cannot be opened. */
export const describeOpening = (what) => `${what} cannot be opened. ${ADVICE}`;

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
  return new LocalError(code, message, said);
}
