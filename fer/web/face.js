// How a face's answer is put into words, colours and drawings, the same on every tab. `props` has
// the names of the classes and, in their order, their colours, inks and drawings.

const classOf = (name) => props.class_names.indexOf(name);
const colorOf = (name) => props.class_colors[classOf(name)] || "#999999";
const inkOf = (name) => props.class_inks[classOf(name)] || "#000000";
const iconOf = (name) => props.class_icons[classOf(name)] || "";
const percent = (p) => Math.round(100 * p) + " %";
const title = (face) => (face.uncertain ? "uncertain: " + face.label + "?" : face.label);

function makeIcon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "fer-icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", iconOf(name));
  svg.append(path);
  return svg;
}
