/* The faces of a picture as CSV, as `to_rows` of fer/serialize.py and fer/table.py write it. */

const quote = (text) => `"${text.replace(/"/g, '""')}"`;
const BOX = ["x0", "y0", "x1", "y1"];
const COLUMNS = ["face", "track_id", "label", "uncertain", "score", ...BOX];

/** Writes a number as Python's table does: 3 for 3.0, -0 for -0.0. */
const write = (value) => (Object.is(value, -0) ? "-0" : String(value));

/** Returns the CSV of an answer {class_names, faces}: a row for each face. */
export function writeCsv({ class_names, faces }) {
  const head = [...COLUMNS, ...class_names.map((name) => `p_${name}`)].map(quote);
  const rows = faces.map((face, i) => [
    i + 1,
    "",
    quote(face.label),
    face.uncertain,
    write(face.score),
    ...face.box_xyxy.map(write),
    ...class_names.map((name) => write(face.probs[name])),
  ]);
  return [head, ...rows].map((row) => `${row.join(",")}\n`).join("");
}
