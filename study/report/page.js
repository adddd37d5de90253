// What a page does: tables that sort, regions that scroll by keyboard, printing of all that is folded.

const NUMBER = /^[<≤≈]?\s*([-+−]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?)/;
const sortKey = cell => {
  const text = cell.textContent.trim(), number = text.match(NUMBER);
  return number ? Number(number[1].replaceAll(",", "").replace("−", "-")) : text;
};
const compareKeys = (one, other) => {  // numbers by size and before texts
  if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
  return typeof one === "number" ? one - other : one.localeCompare(other);
};

const NEXT_ORDER = new Map([[null, "ascending"], ["ascending", "descending"], ["descending", null]]);
function makeSortable(table) {  // a click sorts by a column, the next one the other way round, the third not at all
  const body = table.tBodies[0], rows = [...body.rows], headings = [...table.tHead.rows[0].cells];
  if (rows.length < 2) return;
  for (const [column, heading] of headings.entries()) {
    if (heading.tagName !== "TH") continue;
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const order = NEXT_ORDER.get(heading.ariaSort);
      for (const each of headings) each.ariaSort = null;
      heading.ariaSort = order;
      const sign = order === "descending" ? -1 : 1;
      const sorted = [...rows].sort((a, b) => sign * compareKeys(sortKey(a.cells[column]), sortKey(b.cells[column])));
      body.append(...(order ? sorted : rows));
    });
  }
}
document.querySelectorAll("table.sortable").forEach(makeSortable);

let heading = "";
for (const each of document.querySelectorAll("h2, h3, .wide")) {
  if (!each.matches(".wide")) {
    heading = each.textContent;
    continue;
  }
  each.tabIndex = 0;  // arrow keys scroll what has the focus
  each.role = "region";
  each.ariaLabel = `${heading}: table`;
}

addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details:not([open])")) {
    folded.open = true;
    folded.classList.add("opened-to-print");
  }
});
addEventListener("afterprint", () => {
  for (const opened of document.querySelectorAll(".opened-to-print")) {
    opened.open = false;
    opened.classList.remove("opened-to-print");
  }
});
