"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Plotly reads a little markup in its labels: names from data must stay letters
  const letters = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  const significant = (value) => {
    if (value === 0) return "0";
    const decimals = Math.min(12, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))));
    return value.toLocaleString("en-US", { maximumFractionDigits: decimals });
  };
  const usd = (value) => {
    if (Math.abs(value) < 0.005) return "USD 0";
    const size = Number(Math.abs(value).toPrecision(3));
    const [scale, letter] = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "K"]].find(([one]) => size >= one) || [1, ""];
    return `USD ${value < 0 ? "-" : ""}${significant(size / scale)}${letter}`;
  };
  const count = (value) => value.toLocaleString("en-US", { maximumFractionDigits: Math.abs(value - Math.round(value)) < 0.05 ? 0 : 1 });
  const share = (value) => `${significant(100 * value)}%`;
  const writers = {
    usd, count, share, number: significant,
    signed_share: (value) => (value > 0 ? "+" : "") + share(value),
    factor: (value) => `${significant(value)}x`,
  };
  const write = (kind, value) => {
    if (value === null || value === undefined) return "n/a";
    return typeof value === "string" ? value : (writers[kind] || significant)(value);
  };

  const root = document.documentElement;
  const isPaper = () => root.classList.contains("paper");
  const PAPER_WIDTH = 690; // pixels between the margins of A4, the narrower of the two common papers
  const isNarrow = () => !isPaper() && window.matchMedia("(max-width: 560px)").matches;

  function layout(extra) {
    const axis = { color: css("--soft"), gridcolor: css("--line"), zerolinecolor: css("--line"), linecolor: css("--line"), automargin: true, fixedrange: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: isNarrow() ? 11 : 12.5, color: css("--text") },
      margin: { l: 10, r: 10, t: 10, b: 10 },
      hoverlabel: { bgcolor: css("--page"), bordercolor: css("--line"), font: { color: css("--text") } },
      ...extra, xaxis: { ...axis, ...extra.xaxis }, yaxis: { ...axis, ...extra.yaxis },
    };
  }

  // axis titles give way on narrow screens, where the selects above already name them
  const title = (text) => ({ text: letters(text), standoff: 10 });

  function draw(figure, traces, extra, height) {
    const plot = figure.querySelector(".plot");
    plot.style.height = `${height}px`;
    return Plotly.react(plot, traces, layout({ ...extra, height, ...(isPaper() ? { width: PAPER_WIDTH } : { autosize: true }) }), { displayModeBar: false, responsive: true });
  }

  function select(form, label, options, chosen, onChange) {
    const wrapper = document.createElement("label");
    wrapper.append(label);
    const box = document.createElement("select");
    options.forEach((text, value) => box.add(new Option(text, String(value), value === chosen, value === chosen)));
    box.addEventListener("change", () => onChange(Number(box.value)));
    wrapper.append(box);
    form.append(wrapper);
    return box;
  }

  function fillTable(table, caption, head, rows) {
    table.caption.firstElementChild.textContent = caption;
    const line = (cells, tag) => {
      const row = document.createElement("tr");
      cells.forEach((text, place) => {
        const cell = document.createElement(place === 0 || tag === "th" ? "th" : "td");
        cell.scope = tag === "th" ? "col" : "row";
        if (tag === "td" && place > 0) cell.removeAttribute("scope");
        cell.className = place === 0 ? "text" : "number";
        cell.textContent = text;
        row.append(cell);
      });
      return row;
    };
    table.tHead.replaceChildren(line(head, "th"));
    table.tBodies[0].replaceChildren(...rows.map((row) => line(row, "td")));
  }

  const mix = (low, high, part) => {
    const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    const [from, to] = [channels(low), channels(high)];
    return from.map((value, at) => value + (to[at] - value) * part);
  };

  function heatmap(figure, chart) {
    const form = figure.querySelector(".controls");
    const across = chart.axes.find((axis) => axis.name === "index_shock") || chart.axes[0];
    const others = chart.axes.filter((axis) => axis !== across);
    const moving = others.filter((axis) => axis.values.length > 1);
    const depth = moving.findIndex((axis) => axis.name === "depth_factor");
    const state = { measure: 0, variant: 0, up: Math.max(0, depth), held: new Map(others.map((axis) => [axis.name, axis.neutral])) };
    select(form, "Measure", chart.measures.map((one) => one.label), 0, (value) => { state.measure = value; show(); });
    if (chart.variants.length > 1) select(form, "Variant", chart.variants, 0, (value) => { state.variant = value; show(); });
    if (moving.length > 1) select(form, "Upward", moving.map((axis) => axis.label), state.up, (value) => { state.up = value; show(); });
    const boxes = moving.map((axis) => select(form, `${axis.label} held at`, axis.values.map((value) => write(axis.kind, value)), axis.neutral, (value) => { state.held.set(axis.name, value); show(); }));

    function show() {
      const up = moving[state.up] || others[0];
      boxes.forEach((box, place) => { box.parentElement.hidden = moving[place] === up; box.parentElement.style.display = moving[place] === up ? "none" : ""; });
      const measure = chart.measures[state.measure];
      const z = up.values.map(() => across.values.map(() => null));
      const cells = up.values.map(() => across.values.map(() => null));
      const tally = new Map();
      chart.variant.forEach((variant, cell) => {
        if (variant !== state.variant) return;
        if (others.some((axis) => axis !== up && axis.codes[cell] !== state.held.get(axis.name))) return;
        z[up.codes[cell]][across.codes[cell]] = measure.values[cell];
        const flags = chart.flags.filter((_, bit) => (chart.flagged[cell] >> bit) & 1);
        flags.forEach((flag) => tally.set(flag, (tally.get(flag) || 0) + 1));
        cells[up.codes[cell]][across.codes[cell]] = letters(`${chart.scenario[cell]}${flags.length ? `: ${flags.join(", ")}` : ""}`);
      });
      const [x, y] = [across, up].map((axis) => axis.values.map((value) => write(axis.kind, value)));
      const texts = z.map((row) => row.map((value) => write(measure.kind, value)));
      const known = z.flat().filter((value) => value !== null);
      const top = Math.max(0, ...known);
      const held = others.filter((axis) => axis !== up && (axis.values.length > 1 || axis.values[0] !== axis.rest)).map((axis) => `${axis.label.toLowerCase()} ${write(axis.kind, axis.values[state.held.get(axis.name)])}`).join(", ");
      const said = `${measure.label}${chart.variants.length > 1 ? `, variant ${chart.variants[state.variant]}` : ""}${held ? `; ${held}` : ""}.`;
      const flagged = tally.size ? ` Flags of the cells drawn: ${[...tally].map(([flag, n]) => `${flag} ${n}`).join(", ")}.` : "";
      figure.querySelector(".state").textContent = `${said} ${top === 0 ? "Zero in every cell." : `Largest ${write(measure.kind, top)}.`}${flagged}`;
      const small = isNarrow() || across.values.length > 14;
      const low = css("--heat-low"), high = css("--heat-high");
      // each number stands on its own cell's colour: in black or white, whichever contrasts more (WCAG 2.2)
      const ink = (value) => {
        const linear = mix(low, high, top > 0 && value ? value / top : 0).map((one) => (one / 255 <= 0.04045 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4));
        const luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
        return (luminance + 0.05) ** 2 > 0.05 * 1.05 ? "#000000" : "#ffffff";
      };
      const notes = small ? [] : z.flatMap((row, j) => row.map((value, i) => ({
        x: i, y: j, text: letters(texts[j][i].replace("USD ", "")), showarrow: false,
        font: { size: 12, color: value === null ? css("--soft") : ink(value) },
      })));
      draw(figure, [{
        type: "heatmap", z, text: texts.map((row) => row.map(letters)), customdata: cells, zmin: 0, zmax: top || 1, xgap: 2, ygap: 2,
        colorscale: [[0, low], [1, high]], hoverongaps: false, showscale: small,
        colorbar: { thickness: 10, len: 1, outlinewidth: 0, tickfont: { color: css("--soft") } },
        hovertemplate: `${across.label} %{x}<br>${up.label} %{y}<br>${letters(measure.label)} %{text}<br>scenario %{customdata}<extra></extra>`,
        x: x.map((_, place) => place), y: y.map((_, place) => place),
      }], {
        annotations: notes,
        xaxis: { tickvals: x.map((_, place) => place), ticktext: x, title: title(across.label), showgrid: false, zeroline: false },
        yaxis: { tickvals: y.map((_, place) => place), ticktext: y, title: title(up.label), showgrid: false, zeroline: false },
      }, Math.max(190, 90 + 48 * y.length));
      fillTable(figure.querySelector("table.drawn"), said, [`${up.label} \\ ${across.label}`, ...x], texts.map((row, place) => [y[place], ...row]).reverse());
    }
    return show;
  }

  function bars(figure, chart) {
    const form = figure.querySelector(".controls");
    const chosen = chart.filters.map((filter) => (filter.has_all ? -1 : 0));
    chart.filters.forEach((filter, place) => {
      if (filter.values.length < 2) return;
      const options = [...(filter.has_all ? ["All"] : []), ...filter.values.map((value) => write(filter.kind, value))];
      select(form, filter.label, options, 0, (value) => { chosen[place] = filter.has_all ? value - 1 : value; show(); });
    });
    function show() {
      const sums = chart.series.map(() => chart.x.values.map(() => null)); // no number is a gap, not a zero
      chart.x.codes.forEach((place, row) => {
        if (chart.filters.some((filter, at) => chosen[at] >= 0 && filter.codes[row] !== chosen[at])) return;
        chart.series.forEach((series, at) => { if (series.values[row] !== null) sums[at][place] += series.values[row]; });
      });
      const kind = chart.series[0].kind;
      const x = chart.x.values.map((value) => letters(write(chart.x.kind, value)));
      const gaps = x.filter((_, place) => sums.every((row) => row[place] === null));
      const total = sums.flat().reduce((sum, value) => sum + value, 0);
      const nothing = gaps.length === x.length ? "No number for this choice." : total === 0 ? "Nothing for this choice: every bar is zero." : "";
      figure.querySelector(".state").textContent = nothing || (gaps.length ? `No number at ${chart.x.values.map((value) => write(chart.x.kind, value)).filter((_, place) => gaps.includes(x[place])).join(", ")}.` : "");
      const traces = chart.series.map((series, at) => ({
        type: "bar", name: letters(series.label), x, y: sums[at], marker: { color: css(`--series-${series.place + 1}`) },
        text: sums[at].map((value) => write(kind, value)), textposition: "none",
        hovertemplate: `%{x}<br>${letters(series.label)} %{text}<extra></extra>`,
      }));
      const heights = chart.is_stacked ? chart.x.values.map((_, place) => sums.reduce((sum, row) => sum + row[place], 0)) : sums.flat();
      const top = Math.max(...heights, 0);
      const ticks = ticksTo(top, 4, kind === "count" ? 1 : 0);
      draw(figure, traces, {
        barmode: chart.is_stacked ? "stack" : "group", bargap: 0.35, showlegend: traces.length > 1,
        legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { color: css("--text") } },
        xaxis: { type: "category", title: title(chart.x.label), tickangle: x.length > (isNarrow() ? 9 : 24) ? -70 : x.some((text) => text.length > 8) ? -40 : 0 },
        yaxis: { tickvals: ticks, ticktext: ticks.map((value) => write(kind, value)), range: [0, ticks[ticks.length - 1]], zeroline: true },
      }, isNarrow() ? 320 : 360);
    }
    return show;
  }

  function niceStep(rough) {
    const power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= rough);
  }

  function waterfall(figure, chart) {
    const form = figure.querySelector(".controls");
    const chosen = chart.filters.map(() => 0);
    chart.filters.forEach((filter, place) => {
      if (filter.values.length < 2) return;
      select(form, filter.label, filter.values.map((value) => write(filter.kind, value)), 0, (value) => { chosen[place] = value; show(); });
    });
    function show() {
      const row = chart.scenario.findIndex((_, at) => chart.filters.every((filter, place) => filter.codes[at] === chosen[place]));
      const state = figure.querySelector(".state");
      const plot = figure.querySelector(".plot");
      plot.hidden = row < 0;
      if (row < 0) { state.textContent = "No scenario leaves a shortfall for this choice."; return; }
      const amounts = chart.steps.map((step) => step.values[row]);
      const borne = chart.steps.map((step, at) => [step, amounts[at]]).slice(1);
      const parts = borne.filter(([step]) => step.name !== "uncovered_loss").map(([step, value]) => `${step.label} ${usd(value)}`);
      const left = borne.find(([step]) => step.name === "uncovered_loss");
      state.textContent = `Scenario ${chart.scenario[row]} (${chart.where[row]}): shortfall ${usd(amounts[0])} = ${parts.join(" + ")}.${left ? ` Uncovered: ${usd(left[1])}.` : ""}`;
      const labels = chart.steps.map((step) => letters(step.label));
      const shares = amounts.map((value) => `${share(value / amounts[0])} of the shortfall`);
      // each bar ends, on its right, where what was left before it did
      let before = amounts[0];
      const ends = chart.steps.map((step, at) => {
        const end = step.kind === "paid" ? before : amounts[at];
        before = step.kind === "paid" ? before - amounts[at] : amounts[at];
        return end;
      });
      const end = amounts[0] * (isNarrow() ? 1.42 : 1.12);
      const ticks = ticksTo(amounts[0], isNarrow() ? 2 : 4);
      draw(figure, [{
        type: "waterfall", orientation: "h", y: labels, x: chart.steps.map((step, at) => (step.kind === "paid" ? -amounts[at] : amounts[at])),
        text: amounts.map((value) => letters(usd(value))), customdata: shares, textposition: "none",
        measure: chart.steps.map((step) => ({ whole: "absolute", paid: "relative", left: "total" })[step.kind]),
        connector: { line: { color: css("--soft"), width: 1, dash: "dot" } }, decreasing: { marker: { color: css("--series-2") } },
        increasing: { marker: { color: css("--series-1") } }, totals: { marker: { color: css("--series-1") } },
        hovertemplate: "%{y}<br>%{text}<br>%{customdata}<extra></extra>",
      }], {
        showlegend: false, waterfallgap: 0.35,
        annotations: ends.map((x, y) => ({ x, y, text: letters(usd(amounts[y])), showarrow: false, xanchor: "left", xshift: 3, font: { color: css("--text") } })),
        xaxis: { tickvals: ticks, ticktext: ticks.map(usd), range: [0, end], zeroline: true },
        yaxis: { type: "category", autorange: "reversed", showgrid: false },
      }, 60 + 40 * labels.length);
    }
    return show;
  }

  // whole steps from 0 to the first beyond the top, about n of them
  const ticksTo = (top, n, least = 0) => {
    const step = Math.max(top > 0 ? niceStep(top / n) : 1, least);
    return Array.from({ length: Math.floor(top / step) + 2 }, (_, place) => place * step);
  };

  function ranges(figure, chart) {
    function show() {
      const y = chart.labels.map(letters);
      const hover = chart.labels.map((_, place) => `low ${usd(chart.low[place])}, central ${usd(chart.central[place])}, high ${usd(chart.high[place])}${chart.drivers[place] ? `, driven by ${letters(chart.drivers[place])}` : ""}`);
      const lines = chart.labels.map((_, place) => ({
        type: "scatter", mode: "lines", x: [chart.low[place], chart.high[place]], y: [y[place], y[place]],
        line: { color: css("--series-2"), width: 10 }, hoverinfo: "skip", showlegend: false,
      }));
      const dots = {
        type: "scatter", mode: "markers", x: chart.central, y, text: hover, showlegend: false,
        marker: { color: css("--series-1"), size: 13 }, hovertemplate: "%{y}<br>%{text}<extra></extra>",
      };
      const top = Math.max(...chart.high, 0);
      const ticks = ticksTo(top, isNarrow() ? 2 : 4);
      draw(figure, [...lines, dots], {
        xaxis: { tickvals: ticks, ticktext: ticks.map(usd), range: [-0.03 * ticks[ticks.length - 1], 1.04 * ticks[ticks.length - 1]], zeroline: true },
        yaxis: { type: "category", autorange: "reversed", showgrid: false },
      }, 70 + 42 * y.length);
    }
    return show;
  }

  const kinds = { heatmap, bars, ranges, waterfall };
  const shows = [...document.querySelectorAll("figure[data-chart]")].map((figure) => {
    const chart = charts[figure.dataset.chart];
    const form = figure.querySelector(".controls");
    form.addEventListener("submit", (event) => event.preventDefault());
    const show = kinds[chart.kind](figure, chart);
    show();
    if (!form.childElementCount) form.remove();
    return show;
  });
  // where no scroll bar is drawn until one scrolls, a table that goes on says so
  const hint = () => document.querySelectorAll(".scroll").forEach((one) => one.classList.toggle("cut", one.scrollWidth > one.clientWidth + 1));
  hint();
  document.addEventListener("toggle", hint, true);
  window.addEventListener("resize", hint);
  const redraw = () => shows.forEach((show) => show());
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  window.matchMedia("(max-width: 560px)").addEventListener("change", redraw);
  const onPaper = (is) => { root.classList.toggle("paper", is); redraw(); };
  window.addEventListener("beforeprint", () => onPaper(true));
  window.addEventListener("afterprint", () => onPaper(false));
})();
