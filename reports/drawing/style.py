"""The style sheet of the report: calm, light and dark, from 360 pixels to wide screens, and on paper."""

from reports.drawing import charts

CSS = (
    """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1f2328; --soft: #57606a; --line: #d8dee4; --box: #f6f8fa;
  --accent: #0a66a8; --good: #1a6b35; --look: #805900; --wrong: #b42318; --mark: #dbeafe; --shade: #8c959f; }
@media (prefers-color-scheme: dark) { :root { --page: #0f141a; --ink: #e6edf3; --soft: #9aa4ae; --line: #323941;
  --box: #171d24; --accent: #6cb6ff; --good: #57c97a; --look: #e3b341; --wrong: #ff8f85; --mark: #1d3a5c; --shade: #6e7781; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 1rem; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI",
  "Noto Sans", "Noto Sans CJK SC", sans-serif; overflow-wrap: break-word; }
a { color: var(--accent); }
.frame { max-width: 84rem; margin: 0 auto; padding: 1.2rem 1rem 4rem; }
nav ol { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 0.15rem 1rem; font-size: 0.9rem; }
nav a { text-decoration: none; } nav a:hover, nav a:focus { text-decoration: underline; }
nav { border-bottom: 1px solid var(--line); padding-bottom: 0.7rem; margin-bottom: 1.2rem; }
@media (max-width: 40rem) { nav ol { max-height: 5rem; overflow-y: auto; } }
@media (min-width: 75rem) {
  .frame { display: grid; grid-template-columns: 12.5rem minmax(0, 1fr); gap: 2.5rem; padding-top: 2rem; }
  nav { border: 0; position: sticky; top: 1.5rem; align-self: start; } nav ol { flex-direction: column; gap: 0.45rem; }
}
main { min-width: 0; }
.kicker { margin: 0; color: var(--accent); font-weight: 600; font-size: 0.85rem; letter-spacing: 0.04em; }
h1 { font-size: clamp(1.35rem, 1rem + 1.6vw, 2rem); line-height: 1.25; margin: 0.3rem 0 1.1rem; max-width: 52rem; font-weight: 650;
  text-wrap: balance; }
h2 { font-size: 1.35rem; line-height: 1.3; margin: 2.8rem 0 0.8rem; padding-top: 1.1rem; border-top: 1px solid var(--line); }
h2.small { font-size: 1rem; margin: 1.6rem 0 0.5rem; padding: 0; border: 0; }
h3 { font-size: 1.08rem; margin: 1.8rem 0 0.5rem; } h4 { font-size: 0.98rem; margin: 1.3rem 0 0.4rem; }
p { margin: 0.5rem 0; max-width: 48rem; } .note { color: var(--soft); font-size: 0.9rem; }
ul { padding-left: 1.2rem; max-width: 48rem; } li { margin: 0.25rem 0; }
code, pre { font-family: ui-monospace, "SF Mono", "DejaVu Sans Mono", monospace; font-size: 0.86em; }
code { overflow-wrap: anywhere; }
pre { background: var(--box); border: 1px solid var(--line); border-radius: 6px; padding: 0.6rem 0.8rem; overflow-x: auto; line-height: 1.5; }
pre.commands { white-space: pre-wrap; overflow-wrap: anywhere; max-width: 100%; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: 0.7rem; margin: 0 0 1rem; }
.tiles div { background: var(--box); border: 1px solid var(--line); border-radius: 8px; padding: 0.6rem 0.8rem; }
.tiles dt { color: var(--soft); font-size: 0.82rem; } .tiles dd { margin: 0; }
.tiles strong { display: block; font-size: 1.5rem; line-height: 1.25; font-weight: 650; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: 0.82rem; line-height: 1.35; display: block; }
.verdict { list-style: none; margin: 0; padding: 0; max-width: none; border: 1px solid var(--line); border-radius: 8px; }
.verdict li { margin: 0; padding: 0.4rem 0.8rem; display: grid; grid-template-columns: 3.4rem 1fr; border-top: 1px solid var(--line); }
.verdict li:first-child { border: 0; } .good b { color: var(--good); } .look b { color: var(--look); } .wrong b { color: var(--wrong); }
.chain { list-style: none; margin: 0; padding: 0.2rem 0; display: flex; flex-wrap: wrap; gap: 0.6rem 1.7rem; max-width: none; }
.chain li { display: flex; flex-direction: column; justify-content: center; gap: 0.5rem; position: relative; margin: 0; }
.chain li:not(:last-child)::after { content: "\\2192" / "then"; position: absolute; right: -1.35rem; top: 50%; transform: translateY(-50%);
  color: var(--soft); }
@media (max-width: 40rem) { .chain { flex-direction: column; gap: 1.5rem; } .chain li { flex-direction: row; justify-content: flex-start;
  flex-wrap: wrap; } .chain li:not(:last-child)::after { content: "\\2193" / "then"; right: auto; left: 1.2rem; top: auto; bottom: -1.5rem;
  transform: none; } }
.run { border: 1px solid var(--line); border-left: 3px solid var(--accent); border-radius: 6px; padding: 0.3rem 0.6rem; background: var(--box); }
.run b, .run code, .run span { display: block; line-height: 1.4; } .run b { font-size: 0.9rem; }
.run code { font-size: 0.74rem; color: var(--soft); } .run span { font-size: 0.78rem; }
.scroll { overflow-x: auto; margin: 0.7rem 0 1rem; max-width: 100%; scrollbar-width: thin; background-attachment: local, local, scroll, scroll;
  background-image: linear-gradient(90deg, var(--page) 40%, transparent), linear-gradient(270deg, var(--page) 40%, transparent),
  linear-gradient(90deg, var(--shade), transparent), linear-gradient(270deg, var(--shade), transparent);
  background-position: 0 0, 100% 0, 0 0, 100% 0; background-repeat: no-repeat; background-size: 2.5rem 100%, 2.5rem 100%, 0.9rem 100%, 0.9rem 100%; }
.scroll:focus-visible, summary:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; font-size: 0.86rem; line-height: 1.4; min-width: min(100%, 30rem); }
caption { text-align: left; font-weight: 600; padding: 0 0 0.3rem; font-size: 0.9rem; }
th, td { text-align: left; padding: 0.28rem 1.1rem 0.28rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: normal; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; } tbody th { font-weight: 500; min-width: 8rem; }
.w { min-width: 13rem; } td:not(.n):last-child { min-width: 12rem; }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; } td code, th code { white-space: nowrap; }
details { margin: 0.5rem 0; max-width: 100%; } summary { cursor: pointer; color: var(--accent); font-size: 0.92rem; padding: 0.15rem 0; }
figure.sample { margin: 0.5rem 0 0.9rem; max-width: 48rem; } figcaption { font-size: 0.78rem; color: var(--soft); margin-top: 0.2rem; }
.text { margin: 0.3rem 0; padding: 0.5rem 0.8rem; background: var(--box); border-left: 3px solid var(--line); white-space: pre-wrap;
  overflow-wrap: anywhere; overflow: hidden; font-size: 0.9rem; line-height: 1.5; max-width: 48rem; unicode-bidi: isolate; }
mark { background: var(--mark); color: inherit; padding: 0 0.1em; border-radius: 2px; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 0.3rem 1.2rem; }
.sides mark { border-bottom: 2px solid var(--accent); border-radius: 2px 2px 0 0; } .sides b { display: block; }
.sides b, .side { font-size: 0.78rem; color: var(--soft); margin: 0.3rem 0 0; font-weight: 600; } .sides .text { margin-top: 0.1rem; }
td small { display: block; color: var(--soft); font-size: 0.92em; }
.origin { font-size: 0.78rem; color: var(--soft); overflow-wrap: anywhere; }
.term { color: inherit; text-decoration: underline dotted; text-underline-offset: 0.2em; }
.words { max-width: 48rem; } .words dt { font-weight: 600; margin-top: 0.6rem; } .words dd { margin: 0; color: var(--soft); font-size: 0.92rem; }
.missing { background: var(--box); border: 1px dashed var(--line); border-radius: 6px; padding: 0.6rem 0.8rem; color: var(--soft); }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 0.8rem; color: var(--soft); font-size: 0.85rem; }
"""
    + charts.CSS
    + """
.chart .on { fill: var(--page); font-size: 11px; font-weight: 600; } .chart .part { stroke: var(--page); stroke-width: 1; }
.legend { list-style: none; padding: 0; margin: 0.1rem 0 0; display: flex; flex-wrap: wrap; gap: 0.15rem 0.9rem; font-size: 0.78rem; max-width: none; }
.legend li { margin: 0; } .legend b { color: var(--page); padding: 0 0.3rem; font-size: 0.7rem; border-radius: 2px; print-color-adjust: exact; }
.c1 { background: var(--chart-1); } .c2 { background: var(--chart-2); } .c3 { background: var(--chart-3); } .c4 { background: var(--chart-4); } .c5 { background: var(--chart-5); } .c6 { background: var(--chart-6); } .c7 { background: var(--chart-quiet); }
@media print {
  :root { --page: #fff; --ink: #000; --soft: #444; --line: #bbb; --box: #f7f7f7; --accent: #0a4f83; }
  body { font-size: 10.5pt; } nav { display: none; } .frame { display: block; max-width: none; padding: 0; }
  .scroll, .chart, pre { overflow: visible; } pre, code { white-space: pre-wrap; } h2, h3, h4, summary, caption { break-after: avoid; }
  .chart, figure, tr, .run, .tiles div { break-inside: avoid; } details::details-content { content-visibility: visible; block-size: auto; }
}
"""
)
