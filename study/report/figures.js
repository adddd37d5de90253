// Figures, drawn when they can be seen, and again for paper.

const PRINT_WIDTH_PX = 930, PRINT_GAP_PX = 40, PRINT_TEXT = "#1f2328";  // as in page.css: paper shows figures at 75 %
const textColor = () => getComputedStyle(document.body).color;

function draw(figure) {
  const plot = figure.querySelector(".plot");
  if (plot.data) return;
  const { data, layout } = JSON.parse(figure.querySelector("script").textContent);
  const { title, height, margin, meta, ...rest } = layout;  // the title stands above the plot, where it wraps
  const shown = {
    ...rest, height: height - meta.title_px, margin: { ...margin, t: margin.t - meta.title_px },
    font: { ...layout.font, color: textColor() },
  };
  const displayModeBar = matchMedia("(hover: hover)").matches ? "hover" : false;
  Plotly.newPlot(plot, data, shown, { responsive: true, displaylogo: false, displayModeBar });
}

async function loadPlotly() {
  if (window.Plotly) return;  // the file of a site
  const packed = Uint8Array.from(atob(document.querySelector("#plotly").textContent), letter => letter.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(unpacked).text();
  document.head.append(script);
}

const figures = [...document.querySelectorAll("figure")], folds = document.querySelectorAll("details:has(figure)");
const plots = () => document.querySelectorAll(".js-plotly-plot");
const printWidth = plot => plot.closest(".across") ? PRINT_WIDTH_PX : (PRINT_WIDTH_PX - PRINT_GAP_PX) / 2;

function drawFolded(fold) {  // at the size that it will have; nothing is painted before it is closed again
  if (fold.open) return;
  fold.open = true;
  fold.querySelectorAll("figure").forEach(draw);
  fold.open = false;
}

loadPlotly().then(() => {
  for (const figure of figures) if (!figure.closest("details:not([open])")) draw(figure);
  for (const fold of folds) {
    setTimeout(drawFolded, 0, fold);  // before anybody prints: pictures take a moment
    fold.addEventListener("toggle", () => {
      if (fold.open) fold.querySelectorAll(".js-plotly-plot").forEach(plot => Plotly.Plots.resize(plot));
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const plot of plots()) Plotly.relayout(plot, { "font.color": textColor() });
  });
  addEventListener("beforeprint", () => {
    for (const plot of plots()) Plotly.relayout(plot, { "font.color": PRINT_TEXT, width: printWidth(plot) });
  });
  addEventListener("afterprint", () => {
    for (const plot of plots()) Plotly.relayout(plot, { "font.color": textColor(), width: null, autosize: true });
  });
});
