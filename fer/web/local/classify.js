/* Logits to probabilities: fer/classify.py. */

const f = Math.fround;

/** Returns probabilities of one row of logits: softmax((logits + bias) / temperature). */
export function decide(logits, { bias, temperature }) {
  const scaled = Array.from(logits, (value, i) => f(value + f(bias[i])) / temperature);
  const largest = Math.max(...scaled);
  const exp = scaled.map((value) => Math.exp(value - largest));
  const total = exp.reduce((sum, value) => sum + value, 0);
  return exp.map((value) => f(value / total));
}
