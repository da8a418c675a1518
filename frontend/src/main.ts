// Where does the page live?  a document, a file with its data inside, or a cell of a notebook -> the lab in it.
import { start } from "./app";
import { embedded, socket, widget, type Model } from "./transport";

const place = document.getElementById("surefoot-lab");
if (place) {
  const data = document.getElementById("surefoot-data")?.textContent;
  const address = new URL("ws", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  address.hash = "";
  start(place, data ? embedded(data) : socket(address.href), { page: true });
}

/** For anywidget: the same page in a cell, its state in the traitlet `state`. */
function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const root = document.createElement("div");
  // JupyterLab takes the arrow keys of a slider for its own, unless the element that has the focus says otherwise
  root.addEventListener("focusin", (event) => (event.target as HTMLElement).setAttribute("data-lm-suppress-shortcuts", "true"));
  el.append(root);
  return start(root, widget(model), { page: false, model });
}

export default { render };
