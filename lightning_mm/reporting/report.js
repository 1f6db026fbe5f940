// Sorts and unfolds the table, puts configurations together, copies, enlarges images. Without scripts tables and images
// are there all the same.
"use strict";

const table = document.getElementById("runs");

function sortBy(column, header) {
  const ascending = header.getAttribute("aria-sort") === "descending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const value = (body) => body.rows[0].cells[column].dataset.v;
  const bodies = [...table.tBodies].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === "" || y === "") return (x === "") - (y === ""); // the absent stay last either way
    const numeric = !Number.isNaN(Number(x)) && !Number.isNaN(Number(y));
    const order = numeric ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true });
    return ascending ? order : -order;
  });
  for (const body of bodies) table.insertBefore(body, table.tFoot);
}

[...table.tHead.rows[0].cells].forEach((header, column) => {
  if (header.textContent === "SSIM") header.setAttribute("aria-sort", "descending");
  header.querySelector("button").addEventListener("click", () => sortBy(column, header));
});

const configs = JSON.parse(document.getElementById("configs").textContent);

function configText(index) {
  const lines = [...configs.base];
  for (const [start, end, own] of [...configs.changes[index]].reverse()) lines.splice(start, end - start, ...own);
  return lines.join("\n") + "\n";
}

for (const body of table.tBodies) {
  const [row, command] = body.rows;
  const name = row.querySelector(".open");
  const config = command.querySelector(".config");
  const show = (shown) => {
    if (shown && config !== null) config.textContent = configText(Number(config.dataset.config));
    command.hidden = !shown;
    name.setAttribute("aria-expanded", String(shown));
  };
  show(false);
  name.addEventListener("click", () => show(command.hidden));
  for (const button of command.querySelectorAll(".copy")) {
    button.addEventListener("click", () => {
      const code = button.previousElementSibling;
      const done = () => { button.textContent = "copied"; setTimeout(() => { button.textContent = "copy"; }, 1500); };
      const select = () => getSelection().selectAllChildren(code); // where the clipboard is closed to pages
      if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(done, select);
      else select();
    });
  }
}

for (const image of document.querySelectorAll(".samples img")) {
  image.addEventListener("click", () => image.classList.toggle("large"));
}
