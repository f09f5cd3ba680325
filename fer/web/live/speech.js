/* What a screen reader says of the faces, when it changes and not too often. */

import { percent } from "../common/classes.js";
import { keepText, readText } from "../common/storage.js";
import { firstFaces } from "./panel.js";

/** Least time between two updates. */
export const SPEECH_MS = 3000;

const STORED = "fer-spoken"; // "off" where the visitor wants none

const who = (face, faces) => (faces.length > 1 ? `face ${face.track_id} ` : "");
const label = (face) => (face.uncertain ? "unsure, perhaps " : "") + face.label;

/** Returns what is said of the faces; `withPercent` or without, to see whether anything changed. */
export function describeFaces(faces, withPercent = true) {
  const said = firstFaces(faces).map((face) => {
    const p = withPercent ? ` ${percent(face.probs[face.label])}` : "";
    return who(face, faces) + label(face) + p;
  });
  return said.join(", ") || "no face";
}

/** Says the faces of a stream; it knows no page, so that node can run it. */
export class Speaker {
  #say;
  #known = "";
  #saidAt = -SPEECH_MS;
  isOn = true;

  /** @param {(text: string) => void} say */
  constructor(say) {
    this.#say = say;
  }

  /** Says the faces at `now`, in milliseconds, if their labels changed. */
  update(faces, now) {
    const known = describeFaces(faces, false);
    if (!this.isOn || known === this.#known || now - this.#saidAt < SPEECH_MS) return;
    [this.#known, this.#saidAt] = [known, now];
    this.#say(describeFaces(faces));
  }

  /** Starts anew, and takes back what was said. */
  clear() {
    [this.#known, this.#saidAt] = ["", -SPEECH_MS];
    this.#say("");
  }
}

/** Lets a checkbox switch the speaker, and remembers the choice. */
export function bindSpeech(checkbox, speaker) {
  checkbox.checked = speaker.isOn = readText(STORED) !== "off";
  checkbox.addEventListener("change", () => {
    speaker.isOn = checkbox.checked;
    speaker.clear();
    keepText(STORED, checkbox.checked ? "on" : "off");
  });
}
