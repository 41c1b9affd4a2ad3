/** The one style sheet of all pages. Contrast is at least 4.5:1 for text in both schemes (WCAG 2.2, 1.4.3). */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --sunken: #f3f4f7; --line: #e0e3e9; --line-strong: #c3c9d3;
  --text: #15181e; --muted: #565e6c; --link: #1756c4; --focus: #1756c4;
  --success: #12693a; --success-fill: #dff4e6; --running: #1756c4; --running-fill: #e3edfd;
  --waiting: #7d4a00; --waiting-fill: #fdf0d3; --failure: #b3201d; --failure-fill: #fde7e6;
  --ended: #515968; --ended-fill: #e9ebef;
  --key: #0a5a8c; --string: #8a3c10; --note: #5d6573;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", sans-serif;
  --mono: ui-monospace, SFMono-Regular, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0e1116; --card: #161a21; --sunken: #11151b; --line: #272d37; --line-strong: #3d4552;
    --text: #e7eaf0; --muted: #9aa4b4; --link: #80b1ff; --focus: #80b1ff;
    --success: #6fd598; --success-fill: #143322; --running: #8ab7ff; --running-fill: #162c4f;
    --waiting: #f2c268; --waiting-fill: #3a2a0c; --failure: #ff9a94; --failure-fill: #421a1b;
    --ended: #abb4c2; --ended-fill: #262c36;
    --key: #80c4f5; --string: #efb08c; --note: #8f99a9;
  }
}
*, *::before, *::after { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 var(--sans); -webkit-text-size-adjust: 100%; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; text-underline-offset: 2px; }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; border-radius: 4px; }
h1, h2, p, dl, dd, ol, ul, pre { margin: 0; padding: 0; }
ol, ul { list-style: none; }
h1 { font-size: 24px; line-height: 1.25; font-weight: 650; letter-spacing: -0.015em; }
h2 { font-size: 15px; font-weight: 650; }
code, pre, .code { font-family: var(--mono); font-size: 0.9em; font-variant-ligatures: none; }
td, dd, code, .message { unicode-bidi: isolate; overflow-wrap: anywhere; }
time, .numbers { font-variant-numeric: tabular-nums; }
.muted { color: var(--muted); }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.skip { position: absolute; left: 16px; top: -60px; background: var(--card); padding: 8px 12px; z-index: 1; }
.skip:focus { top: 8px; }
.frame { max-width: 1120px; margin: 0 auto; padding: 0 24px; }
.top { background: var(--card); border-bottom: 1px solid var(--line); }
.top .frame { display: flex; align-items: center; gap: 10px; min-height: 56px; }
.brand { display: inline-flex; align-items: center; gap: 10px; font-weight: 650; letter-spacing: -0.01em; color: var(--text); }
.brand:hover { text-decoration: none; }
.brand svg { width: 22px; height: 22px; }
.top .revision { margin-left: auto; font-size: 13px; }
main.frame { padding-block: 32px 64px; display: grid; gap: 24px; grid-template-columns: minmax(0, 1fr); }
footer { border-top: 1px solid var(--line); padding-block: 20px 32px; font-size: 13px; }
footer a { color: var(--muted); }
footer ul { display: flex; flex-wrap: wrap; gap: 4px 20px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.card > h2 { padding: 14px 20px; border-bottom: 1px solid var(--line); }
.notice { border: 1px solid color-mix(in srgb, currentColor 22%, transparent); border-radius: 10px; padding: 14px 18px; display: grid; gap: 6px; }
.notice.failure { color: var(--failure); background: var(--failure-fill); }
.notice.waiting { color: var(--waiting); background: var(--waiting-fill); }
.notice.success { color: var(--success); background: var(--success-fill); }
.notice.running { color: var(--running); background: var(--running-fill); }
.notice.ended { color: var(--ended); background: var(--ended-fill); }
.notice li { padding-top: 4px; }
.notice a { color: inherit; text-decoration: underline; text-underline-offset: 2px; }
.badge { display: inline-flex; align-items: center; gap: 6px; padding: 2px 10px 2px 7px; border-radius: 999px; font-size: 13px; font-weight: 600; line-height: 20px; white-space: nowrap; }
.success { color: var(--success); } .badge.success { background: var(--success-fill); }
.running { color: var(--running); } .badge.running { background: var(--running-fill); }
.waiting { color: var(--waiting); } .badge.waiting { background: var(--waiting-fill); }
.failure { color: var(--failure); } .badge.failure { background: var(--failure-fill); }
.ended { color: var(--ended); } .badge.ended { background: var(--ended-fill); }
.icon { width: 16px; height: 16px; flex: none; fill: none; stroke: currentColor; stroke-width: 1.75; stroke-linecap: round; stroke-linejoin: round; }
@keyframes turn { to { transform: rotate(360deg); } }
.icon.turns { animation: turn 1.2s linear infinite; transform-origin: 50% 50%; }
@media (prefers-reduced-motion: reduce) { .icon.turns { animation: none; } }

.filters { display: flex; flex-wrap: wrap; gap: 12px 24px; align-items: center; justify-content: space-between; }
.tabs { display: flex; flex-wrap: wrap; gap: 4px; }
.tabs a { display: block; padding: 5px 12px; border-radius: 999px; color: var(--muted); font-size: 14px; font-weight: 500; }
.tabs a:hover { background: var(--ended-fill); color: var(--text); text-decoration: none; }
.tabs a[aria-current] { background: var(--text); color: var(--page); }
form { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; }
input, button { font: inherit; font-size: 14px; color: inherit; height: 34px; border-radius: 7px; border: 1px solid var(--line-strong); background: var(--card); padding: 0 11px; min-width: 0; }
input::placeholder { color: var(--muted); opacity: 1; }
input[name="repository"] { width: 13.5em; } input[name="environment"] { width: 8.5em; }
button { font-weight: 550; cursor: pointer; }
button:hover { background: var(--sunken); }

table { width: 100%; border-collapse: collapse; }
th { text-align: left; font-size: 12px; font-weight: 600; color: var(--muted); padding: 10px 16px; border-bottom: 1px solid var(--line); white-space: nowrap; }
tbody td, tbody th { padding: 13px 16px; vertical-align: top; border-bottom: 1px solid var(--line); font-size: 14px; }
tbody tr:last-child > * { border-bottom: 0; }
tbody tr { position: relative; }
tbody tr:hover { background: var(--sunken); }
tbody th { font-weight: 400; color: inherit; white-space: normal; width: 46%; }
.model { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 10px; }
.model a { color: var(--text); font-weight: 600; font-size: 15px; overflow-wrap: anywhere; }
.model a::after { content: ""; position: absolute; inset: 0; }
.dot { fill: currentColor; stroke: none; }
.version { font-family: var(--mono); font-size: 13px; padding: 1px 7px; border-radius: 5px; background: var(--ended-fill); overflow-wrap: anywhere; }
.message { margin-top: 3px; color: var(--muted); font-size: 14px; }
.table .message { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; }
.sub { display: block; color: var(--muted); font-size: 13px; }
.when { white-space: nowrap; }
.pages { display: flex; justify-content: space-between; gap: 16px; font-weight: 550; font-size: 14px; }
.pages [rel="next"] { margin-left: auto; }

.empty { padding: 40px 32px; display: grid; gap: 14px; max-width: 720px; }
.card.empty > h2 { font-size: 19px; padding: 0; border: 0; letter-spacing: -0.01em; }
.steps { display: grid; gap: 16px; margin-top: 6px; counter-reset: step; }
.steps li { counter-increment: step; display: grid; grid-template-columns: 26px minmax(0, 1fr); gap: 2px 12px; }
.steps li::before { content: counter(step); grid-row: span 2; width: 24px; height: 24px; border-radius: 50%; background: var(--running-fill); color: var(--running); font-size: 13px; font-weight: 650; line-height: 24px; text-align: center; }
pre { overflow-x: auto; background: var(--sunken); font-size: 13px; line-height: 1.6; padding: 16px 20px; border-radius: 0 0 10px 10px; tab-size: 2; }
.report { white-space: pre-wrap; overflow-wrap: anywhere; }
.steps pre { border: 1px solid var(--line); border-radius: 7px; padding: 8px 12px; margin-top: 4px; }

.crumbs { font-size: 14px; margin-bottom: 10px; }
.head { display: flex; flex-wrap: wrap; align-items: center; gap: 10px 14px; }
.head h1 { overflow-wrap: anywhere; }
.head .version { font-size: 17px; padding: 2px 10px; border-radius: 7px; }
.facts-line { display: flex; flex-wrap: wrap; gap: 2px 18px; margin-top: 10px; color: var(--muted); font-size: 14px; }
.columns { display: grid; gap: 24px; grid-template-columns: minmax(0, 5fr) minmax(0, 6fr); align-items: start; }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 9px 20px; padding: 16px 20px; font-size: 14px; }
.facts dt { color: var(--muted); }
.facts .sub { margin-top: 1px; }
.timeline { padding: 18px 20px 20px; }
.timeline li { position: relative; display: grid; grid-template-columns: 16px minmax(0, 1fr) max-content; gap: 0 12px; padding-bottom: 18px; font-size: 14px; }
.timeline li:last-child { padding-bottom: 0; }
.timeline li:not(:last-child)::before { content: ""; position: absolute; left: 7.25px; top: 24px; bottom: 1px; width: 1.5px; background: var(--line-strong); }
.timeline .icon { margin-top: 2.5px; }
.timeline .phase { font-weight: 600; }
.timeline .when { color: var(--muted); font-size: 13px; text-align: right; }
.timeline .message { grid-column: 2 / -1; }
.lines { padding: 16px 20px 16px 38px; display: grid; gap: 6px; font-size: 14px; list-style: decimal; }
.lines li::marker { color: var(--muted); font-variant-numeric: tabular-nums; }
.lines li { unicode-bidi: isolate; overflow-wrap: anywhere; padding-left: 4px; }
.k { color: var(--key); } .s { color: var(--string); } .c { color: var(--note); }

@media (max-width: 860px) { .columns { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 640px) {
  .frame { padding: 0 16px; }
  main.frame { padding-block: 22px 40px; gap: 18px; }
  h1 { font-size: 20px; } .columns { gap: 18px; }
  .top .revision { display: none; }
  .filters nav, .filters form { width: 100%; }
  .filters input { height: 40px; font-size: 16px; width: auto; flex: 1 1 45%; } .filters input[name="repository"] { flex-basis: 100%; }
  .filters button { height: 40px; padding-inline: 20px; }
  .tabs { flex-wrap: nowrap; overflow-x: auto; margin-inline: -16px; padding-inline: 16px; scrollbar-width: none; }
  table, tbody { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tbody tr { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 8px 12px; padding: 14px 16px; border-bottom: 1px solid var(--line); }
  tbody tr:last-child { border-bottom: 0; }
  tbody tr > * { padding: 0; border: 0; width: auto; }
  tbody .state { order: 1; } tbody .when { order: 2; text-align: right; }
  tbody th { order: 3; grid-column: 1 / -1; } tbody .where { order: 4; grid-column: 1 / -1; }
  .facts { grid-template-columns: minmax(0, 1fr); gap: 1px; }
  .facts dd + dt { margin-top: 9px; }
  .empty { padding: 24px 20px; }
}
`;
