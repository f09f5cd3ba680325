/* Below an example: of the tables of all faces, the one of the face that is selected is shown. */

/**
 * Starts the comparison.
 *
 * @param {HTMLElement} element holds a table for each face
 * @param {{view_id: string}} props id of the view in which a face is selected (photo.js)
 */
export function start({ element, props }) {
  let view = null;

  function showSelected() {
    findView();
    const boxes = view ? [...view.querySelectorAll(".box")] : [];
    const selected = boxes.findIndex((box) => box.getAttribute("aria-pressed") === "true");
    const tables = [...element.querySelectorAll("[data-face]")];
    const shown = Math.min(Math.max(selected, 0), tables.length - 1);
    tables.forEach((table, i) => {
      table.hidden = i !== shown;
    });
  }

  // The view may come into the page after this; before a first comparison it is there.
  function findView() {
    if (view) return;
    view = document.getElementById(props.view_id);
    if (!view) return;
    const changes = { subtree: true, attributes: true, attributeFilter: ["aria-pressed"] };
    new MutationObserver(showSelected).observe(view, changes);
  }

  new MutationObserver(showSelected).observe(element, { subtree: true, childList: true });
  showSelected();
}
