/* How a face's expression is shown, the same on every tab: name, colour and icon of each class. */

/** The classes of a model, from the `props` that `fer.web.icons.class_props` makes. */
export class Classes {
  #colors;
  #inks;
  #icons;

  /**
   * @param {Object} props `class_names` and, in the same order, `class_colors` and `class_inks` (CSS
   *   colours; ink is for text on the colour) and `class_icons` (SVG path data, 24 x 24, or "")
   */
  constructor({ class_names, class_colors, class_inks, class_icons }) {
    this.names = [...class_names];
    this.#colors = class_colors;
    this.#inks = class_inks;
    this.#icons = class_icons;
  }

  /** Returns the index of a class, -1 if the model does not have it. */
  indexOf(name) {
    return this.names.indexOf(name);
  }

  colorOf(name) {
    return this.#colors[this.indexOf(name)] || "#999999";
  }

  inkOf(name) {
    return this.#inks[this.indexOf(name)] || "#000000";
  }

  /** Returns SVG path data to be stroked, "" for a class without an icon. */
  iconOf(name) {
    return this.#icons[this.indexOf(name)] || "";
  }

  /** Returns the probabilities of a face in the order of `names`. */
  probsOf(face) {
    return this.names.map((name) => face.probs[name]);
  }
}

/** Formats a probability or share for reading. */
export const percent = (p) => `${Math.round(100 * p)} %`;

/** Returns the label of a face in words, with its doubt. */
export const faceTitle = (face) => (face.uncertain ? `unsure: ${face.label}?` : face.label);
