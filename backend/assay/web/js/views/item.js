// The item of a task: an image or a text, from the content store by its address.
import { button, make } from "../dom.js";

const SMALL = 160; // pixels below which an image is shown enlarged

export const showItem = (api, lease, signal) => {
  const url = `/v1/content/${encodeURIComponent(lease.item)}`;
  const place = make("div", { class: "item", "aria-busy": "true" });
  const failed = (show) => () => {
    if (signal.aborted) return;
    place.replaceChildren(make("p", { role: "alert" }, "The item could not be loaded."),
      button("Load it again", show));
  };
  const image = () => {
    const shown = make("img", { src: url, alt: `Item ${lease.index + 1}` });
    shown.addEventListener("load", () => {
      shown.classList.toggle("small", Math.max(shown.naturalWidth, shown.naturalHeight) < SMALL);
      place.removeAttribute("aria-busy");
    });
    shown.addEventListener("error", failed(image));
    place.replaceChildren(make("a", { href: url, target: "_blank", rel: "noopener", title: "In its full size" }, shown));
  };
  const text = async () => {
    try {
      const response = await api.get(url, { auth: false, raw: true, signal });
      const shown = make("pre", { tabindex: "0", role: "region", "aria-label": `Item ${lease.index + 1}` });
      shown.textContent = await response.text();
      place.replaceChildren(shown);
      place.removeAttribute("aria-busy");
    } catch {
      failed(text)();
    }
  };
  (lease.media_type.startsWith("image/") ? image : text)();
  return place;
};
