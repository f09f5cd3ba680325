/* Pictures from the clipboard and dropped ones, handed to the tab's own file input. */

const MAX_WAITS = 20;
const WAIT_MS = 50;

/** Whether a file without the type of a picture is one by its name: .heic, .jp2 or .mpo. */
export const isPictureByName = (file, endings) =>
  !file.type.startsWith("image/") &&
  endings.some((ending) => file.name.toLowerCase().endsWith(ending));

/**
 * Takes pictures that are pasted while the view is shown, or dropped on it.
 *
 * @param {HTMLElement} element the view
 * @param {string} inputId of Gradio's component
 * @param {string[]} endings of names of pictures
 */
export function acceptPictures(element, inputId, endings) {
  const findInput = (selector) => document.querySelector(`#${inputId} ${selector}`);
  const isInside = (event) => event.target.closest && event.target.closest(`#${inputId}`);
  const findPicture = (data) =>
    [...data.files].find(
      (file) => file.type.startsWith("image/") || isPictureByName(file, endings),
    );

  /** Uploads a file through Gradio's input, as if the visitor had chosen it there. */
  async function upload(file) {
    if (!findInput("input[type=file]")) findInput("button[aria-label='Upload file']").click();
    for (let i = 0; i < MAX_WAITS && !findInput("input[type=file]"); i += 1) {
      await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
    }
    const files = new DataTransfer();
    // Gradio accepts a file only if it has the type of a picture.
    const named = isPictureByName(file, endings);
    files.items.add(named ? new File([file], file.name, { type: "image/x-file" }) : file);
    const input = findInput("input[type=file]");
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  document.addEventListener("paste", (event) => {
    const file = findPicture(event.clipboardData);
    if (!file || element.offsetParent === null) return;
    event.preventDefault();
    upload(file);
  });
  // A file chosen or dropped in Gradio's own component is accepted by its name, too.
  const intercept = (event, data) => {
    const file = isInside(event) && data && data.files[0];
    if (!file || !isPictureByName(file, endings)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    upload(file);
  };
  document.addEventListener("change", (event) => intercept(event, event.target), true);
  document.addEventListener("drop", (event) => intercept(event, event.dataTransfer), true);
  document.addEventListener(
    "click",
    (event) => {
      if (isInside(event) && event.target.type === "file") {
        event.target.accept = ["image/*", ...endings].join(",");
      }
    },
    true,
  );
  element.addEventListener("dragover", (event) => event.preventDefault());
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    const file = findPicture(event.dataTransfer);
    if (file) upload(file);
  });
}
