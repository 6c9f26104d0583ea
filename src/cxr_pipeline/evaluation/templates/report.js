// Draws the charts that stand in the page as JSON, each when it comes near the screen. Where a
// browser cannot, or scripts are off, their pictures stay.
(async () => {
  const packed = document.getElementById("plotly");
  if (!packed || !window.DecompressionStream) return;
  const bytes = Uint8Array.from(atob(packed.textContent.trim()), (c) => c.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(unpacked).text();
  document.head.append(script);
  if (!window.Plotly) return;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const theme = () => ({
    "paper_bgcolor": "transparent", "plot_bgcolor": "transparent", "font.color": colour("--ink"),
    "hoverlabel.bgcolor": colour("--card"), "hoverlabel.bordercolor": colour("--line"),
    "xaxis.gridcolor": colour("--line"), "xaxis.zerolinecolor": colour("--line"),
    "yaxis.gridcolor": colour("--line"), "yaxis.zerolinecolor": colour("--line"),
    "modebar.color": colour("--soft"), "modebar.activecolor": colour("--ink"), "modebar.bgcolor": "transparent",
  });
  // On a touch screen a finger that scrolls the page would zoom.
  const touch = matchMedia("(pointer: coarse)").matches;

  const useless = touch ? ["toImage", "zoom2d"] : ["zoomIn2d", "zoomOut2d"];
  const settings = {
    displaylogo: false, responsive: true, modeBarButtonsToRemove: ["autoScale2d", ...useless],
  };

  const drawn = [];
  const draw = async (figure) => {
    figure.classList.add("live");
    for (const place of figure.querySelectorAll(".plot")) {
      const chart = JSON.parse(place.querySelector("script").textContent);
      chart.layout.dragmode = touch ? false : "zoom";
      chart.layout.font = { family: "system-ui, sans-serif", size: 12 };
      await Plotly.newPlot(place, chart.data, chart.layout, settings);
      await Plotly.relayout(place, theme());
      drawn.push(place);
    }
    const button = figure.querySelector("button");
    const first = figure.querySelector(".plot");
    button?.addEventListener("click", () => {
      const type = first.layout.yaxis.type === "log" ? "linear" : "log";
      Plotly.relayout(first, { "yaxis.type": type, "yaxis.autorange": true, "yaxis.nticks": type === "log" ? 4 : 0 });
    });
  };
  const near = new IntersectionObserver((seen) => {
    if (matchMedia("print").matches) return; // paper has the pictures
    for (const entry of seen.filter((entry) => entry.isIntersecting)) {
      near.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "1000px" });
  document.querySelectorAll(".chart").forEach((figure) => near.observe(figure));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    drawn.forEach((place) => Plotly.relayout(place, theme()));
  });
})();
