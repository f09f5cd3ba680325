/* What several models say of one face, in the order in which it is shown. */

const OWN_TITLE = "The model of this page";
const OWN_IDEA = "It gives the answers on all tabs.";

const topOf = ({ probs, label }) => probs[label];

/** Whether the model got what was set: "correct", "missed", or that it has no such class. */
function judge({ probs, label }, expression) {
  if (!expression) return "";
  if (label === expression) return "correct";
  return expression in probs ? "missed" : `has no ${expression}`;
}

/** Says how sure a model is to be right in general, "" where nobody measured it. */
export function describeTest({ top1, n_classes }) {
  if (top1 === null || top1 === undefined) return "";
  return `Accuracy on the test images: ${top1.toFixed(1)} %, ${n_classes} classes.`;
}

/**
 * Arranges the answers: the page's own first, then the models that agree with it, then those that
 * differ, the surest first.
 *
 * @param {Object} face as in the page's JSON, with `label`, `uncertain` and `probs`
 * @param {Object} told of `compare_crop` in fer/web/examples/compare.py
 * @param {Object} [options] `expression` that was set, if one was; `isTurned`, whether the face is
 *   turned so far that no answer counts as certain
 * @returns {{own: Object, same: Object[], differing: Object[]}} rows with `title`, `idea`, `test`,
 *   `label`, `uncertain`, `probs`, `verdict` and, where the model lacks the page's answer, `lacks`
 */
export function arrange(face, { own, others }, { expression = "", isTurned = false } = {}) {
  const row = (model) => ({
    ...model,
    test: describeTest(model),
    verdict: judge(model, expression),
    uncertain: model.uncertain || isTurned,
    lacks: face.label in model.probs ? "" : face.label,
  });
  const rows = others.map(row).sort((a, b) => topOf(b) - topOf(a));
  const told = own || { title: OWN_TITLE, idea: OWN_IDEA };
  const { label, uncertain, probs } = face;
  return {
    own: row({ ...told, label, uncertain, probs }),
    same: rows.filter((each) => each.label === face.label),
    differing: rows.filter((each) => each.label !== face.label),
  };
}

/** Sums up the rows of `arrange` in a sentence or two. */
export function describeMatrix({ own, same, differing }, expression = "") {
  const others = [...same, ...differing];
  const doubt = own.uncertain ? ", though it is unsure" : "";
  const agree = `${same.length} of ${others.length} other models agree with the main model on ${own.label}${doubt}.`;
  if (!expression) return agree;
  const right = [own, ...others].filter((row) => row.verdict === "correct").length;
  return `${agree} ${right} of all ${others.length + 1} are right.`;
}

/** Returns the `n` most probable classes of a row, as [name, probability]. */
export const bestOf = ({ probs }, n) =>
  Object.entries(probs)
    .sort(([, a], [, b]) => b - a)
    .slice(0, n);

/**
 * Says what is seen on an example and, where an expression was set, whether the model got it.
 *
 * @param {Object} example with `caption`, `detail` and `expression`, "" where it is not known
 * @param {Object[]} faces that were found, as in the page's JSON
 * @returns {{text: string, mark: string}} `mark` is "" where nothing was set
 */
export function describeExample({ caption, detail, expression }, faces) {
  const about = [caption, detail].filter(Boolean).join(", ");
  const [face] = faces;
  if (!expression || faces.length !== 1 || !(expression in face.probs))
    return { text: about, mark: "" };
  const said = `${face.label} ${Math.round(100 * face.probs[face.label])} %`;
  const isRight = face.label === expression;
  const mark = isRight ? "\u2713 Correct." : "\u2717 The model missed.";
  return { text: `${caption}. The model says: ${said}${face.uncertain ? ", unsure" : ""}.`, mark };
}
