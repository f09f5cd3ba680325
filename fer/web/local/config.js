/* Reads fer.json of version 1 and 2: fer/types.py. */

import { decide } from "./classify.js";
import { LocalError, describeFile } from "./errors.js";

const NEWEST = 2;
export const WEB_NAME = "model_web.onnx";

function fail(expected, received) {
  const detail = `fer.json: ${expected}. Received: ${received}`;
  throw new LocalError("config", describeFile("fer.json", "cannot be used"), detail);
}

function check(holds, expected, received) {
  if (!holds) fail(expected, JSON.stringify(received));
}

const isNames = (value) =>
  Array.isArray(value) &&
  value.length >= 2 &&
  value.every((name) => typeof name === "string" && name) &&
  new Set(value).size === value.length;
const isNumber = (value, low, high) => typeof value === "number" && value >= low && value <= high;
const isInteger = (value, low, high) => Number.isInteger(value) && value >= low && value <= high;

function checkDecision(decision, n, name) {
  const bias = decision && decision.bias;
  check(
    Array.isArray(bias) && bias.length === n && bias.every((each) => isNumber(each, -100, 100)),
    `\`${name}.bias\` must be ${n} numbers -100..100`,
    bias,
  );
  const { temperature } = decision;
  check(isNumber(temperature, 0.05, 20), `\`${name}.temperature\` must be 0.05..20`, temperature);
}

/**
 * Returns the settings of a model, with `class_names` and the `served` decision {bias, temperature}
 * and the decision of the `votes`, or null, whatever the version; and `neutral`, the probabilities
 * of the average neutral face, null where the file does not have its logits.
 *
 * @param {string} text of fer.json
 * @param {string} [decision] "balanced" or "dataset"; the one that the file names if left out
 * @throws {LocalError} "newer" or "config"
 */
export function readConfig(text, decision) {
  let values;
  try {
    values = JSON.parse(text);
  } catch (error) {
    fail("it must be JSON", error.message);
  }
  check(
    values && typeof values === "object" && !Array.isArray(values),
    "it must be an object",
    values,
  );
  const { version } = values;
  if (Number.isInteger(version) && version > NEWEST) {
    throw new LocalError(
      "newer",
      describeFile("fer.json", `is of version ${version}, and this page reads up to ${NEWEST}`),
    );
  }
  check(version === 1 || version === 2, "`version` must be 1 or 2", version);
  check(
    (version === 2) === Boolean(values.heads),
    "`heads` must be there in version 2 alone",
    values.heads,
  );
  check(isInteger(values.input_size, 16, 1024), "`input_size` must be 16..1024", values.input_size);
  check(
    isInteger(values.detail_size, 8, 1024),
    "`detail_size` must be 8..1024",
    values.detail_size,
  );
  check(
    ["gray", "rgb"].includes(values.color_mode),
    '`color_mode` must be "gray" or "rgb"',
    values.color_mode,
  );
  check(isNumber(values.crop_margin, 0.5, 4), "`crop_margin` must be 0.5..4", values.crop_margin);
  check(typeof values.align === "boolean", "`align` must be true or false", values.align);
  check(
    isNumber(values.uncertain_below, 0, 1),
    "`uncertain_below` must be 0..1",
    values.uncertain_below,
  );
  const percent = values.stretch_percentile;
  check(
    percent === null || isNumber(percent, 0, 25),
    "`stretch_percentile` must be 0..25 or null",
    percent,
  );
  check(
    values.files && typeof values.files === "object",
    "`files` must be an object",
    values.files,
  );
  const hash = values.files[WEB_NAME];
  check(
    /^[0-9a-f]{64}$/.test(hash),
    `\`files\` must name ${WEB_NAME} and its sha256`,
    values.files,
  );
  const served = readServed(values, decision);
  return { ...values, ...served, neutral: readNeutral(values.neutral_logits, served) };
}

function readNeutral(logits, { class_names, served }) {
  if (logits === null || logits === undefined) return null;
  const n = class_names.length;
  check(
    Array.isArray(logits) &&
      logits.length === n &&
      logits.every((each) => isNumber(each, -100, 100)),
    `\`neutral_logits\` must be ${n} numbers -100..100, or null`,
    logits,
  );
  return decide(logits.map(Math.fround), served);
}

function readServed(values, wanted) {
  if (values.version === 1) {
    const { class_names, temperature } = values;
    check(isNames(class_names), "`class_names` must be two or more different names", class_names);
    const served = { bias: class_names.map(() => 0), temperature };
    checkDecision(served, class_names.length, "fer.json");
    check([undefined, "dataset"].includes(wanted), '`decision` must be "dataset"', wanted);
    return { class_names, served, decision: "dataset", votes: null };
  }
  const labels = values.heads.labels;
  check(
    labels && isNames(labels.class_names),
    "`heads.labels.class_names` must be names",
    values.heads,
  );
  const name = wanted === undefined ? values.decision : wanted;
  const decisions = labels.decisions || {};
  check(
    Object.hasOwn(decisions, name),
    `\`decision\` must be one of ${Object.keys(decisions)}`,
    name,
  );
  checkDecision(decisions[name], labels.class_names.length, `decisions.${name}`);
  const votes = readVotes(values.heads.votes);
  return { class_names: labels.class_names, served: decisions[name], decision: name, votes };
}

/** Returns {class_names, bias, temperature} of the votes' head; null where there is none. */
function readVotes(head) {
  if (head === null || head === undefined) return null;
  check(isNames(head.class_names), "`heads.votes.class_names` must be names", head.class_names);
  const { dataset } = head.decisions || {};
  checkDecision(dataset, head.class_names.length, "heads.votes.decisions.dataset");
  return { class_names: head.class_names, ...dataset };
}
