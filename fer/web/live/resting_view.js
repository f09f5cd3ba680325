/* The button "My resting face", and what is said beside it. */

import { RestingFace } from "./resting.js";

const ACTIONS = { off: "My resting face", measuring: "Cancel", on: "Undo resting face" };
const IDLE = "Read as sad or angry at rest? Show your resting face for two seconds.";
const MEASURING = "Relax your face and look at the camera for two seconds.";

/** Says with whom a face is compared; `n` faces are in view. */
function describeOn(trackId, n) {
  const whose = n > 1 ? `Face ${trackId} is compared with its` : "Compared with your";
  return `${whose} resting face. Marks on the bars: without it.`;
}

/**
 * Binds the button in `element`.
 *
 * @param {(text: string) => void} note shows a text over the video, where the visitor looks
 * @returns {{baseline: ?Object, add: Function, setOn: Function}} `baseline` goes with each frame,
 *   `add(answer, now)` takes each answer, `setOn(on)` is told when frames start and end
 */
export function makeResting(element, note) {
  const resting = new RestingFace();
  const button = element.querySelector("button");
  const said = element.querySelector(".said");
  let faces = [];
  let isOn = false;
  let noted = resting.state;

  function describe() {
    if (resting.state === "measuring") return MEASURING;
    if (resting.state === "on") return describeOn(resting.trackId, faces.length);
    return resting.problem || IDLE;
  }

  function show() {
    element.dataset.state = resting.state;
    button.disabled = !isOn;
    for (const [part, text] of [
      [button, ACTIONS[resting.state]],
      [said, describe()],
    ]) {
      if (part.textContent !== text) part.textContent = text;
    }
    if (resting.state === noted) return;
    noted = resting.state;
    if (isOn && describe() !== IDLE) note(describe());
  }

  button.addEventListener("click", () => {
    if (resting.state === "off") resting.measure(faces, performance.now());
    else resting.drop();
    show();
  });
  show();
  return {
    get baseline() {
      return resting.baseline;
    },
    add(answer, now) {
      faces = answer.faces;
      resting.add(answer, now);
      show();
    },
    setOn(on) {
      resting.drop();
      [isOn, faces] = [on, []];
      show();
    },
  };
}
