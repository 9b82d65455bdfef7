// What is typed into a search box, and the kind that is chosen beside it, narrow down rows and points. Without JavaScript
// all of them stay. It follows sort.js.

/** Hide each .one that lacks the typed words, or the class that the chosen radio button has as its value. */
function narrow() {
  const words = (document.querySelector(".search")?.value ?? "").toLowerCase().split(/\s+/);
  const kind = document.querySelector(".counts :checked")?.value ?? "";
  for (const one of document.querySelectorAll(".one")) {
    const text = one.textContent.toLowerCase();
    const shown = words.every(word => text.includes(word)) && (!kind || one.classList.contains(kind));
    one.toggleAttribute("hidden", !shown);
  }
}

for (const box of document.querySelectorAll(".narrow")) {
  box.hidden = false;
  box.addEventListener("input", narrow);
}
narrow();
