#include "app/report/page_style.h"

namespace megalith::app {

std::string_view page_style() {
  return R"css(
:root{color-scheme:light dark;--paper:#fbfaf8;--card:#fff;--ink:#1d1f24;--soft:#646a75;--line:#e4e1da;--grid:#ecebe6;
--a:#2f5fd0;--b:#c8571b;--good:#1c7a4b;--wash:#eef2fd;--theirs:#c3c6cd}
@media (prefers-color-scheme:dark){:root{--paper:#131519;--card:#1b1e24;--ink:#e9eaee;--soft:#9aa1ae;--line:#2c313a;
--grid:#262a32;--a:#7ea4ff;--b:#ff9d5c;--good:#5fce98;--wash:#1d2740;--theirs:#474d59}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1080px;margin:0 auto;padding:40px 24px 64px}
header{margin-bottom:28px}
.over{color:var(--soft);font-size:13px;letter-spacing:.06em;text-transform:uppercase;margin:0}
h1{font-size:34px;line-height:1.2;margin:4px 0 6px;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:20px;margin:44px 0 12px;letter-spacing:-.005em}
p{margin:0 0 12px}.lead,.soft{color:var(--soft)}.lead{margin:0}
small,.small{font-size:13.5px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:0;padding:0}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:12px}
.tile{padding:14px 16px;margin:0}
.tile dt{color:var(--soft);font-size:13px}
.tile dd{margin:2px 0 0;font-size:25px;font-weight:600;line-height:1.2;letter-spacing:-.01em;font-variant-numeric:tabular-nums}
.tile dd+dd{font-size:13px;font-weight:400;color:var(--soft);letter-spacing:0;margin-top:4px}
.tile.first{background:var(--wash);border-color:transparent}.tile.first dd:first-of-type{color:var(--a)}
.card{padding:18px 18px 14px;min-width:0}
.grid{display:grid;align-items:start;grid-template-columns:repeat(2,minmax(0,1fr));gap:16px}
.grid .card h3{margin:0 0 10px;font-size:15px}
svg{display:block;width:100%;height:auto;overflow:visible}
.narrow{display:none}
svg path{fill:none}
svg .rule{stroke:var(--grid);stroke-width:1}
svg .axis{stroke:var(--line);stroke-width:1.2}
svg .line{stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
svg .faint{stroke-width:1;opacity:.28}
svg .a{stroke:var(--a)}svg .b{stroke:var(--b)}
svg .band{stroke:none;opacity:.18}svg .band.a{fill:var(--a)}svg .band.b{fill:var(--b)}
svg .dot{stroke:var(--card);stroke-width:1.2}svg .dot.a{fill:var(--a)}svg .dot.b{fill:var(--b)}
svg text{font-size:12px;fill:var(--soft);font-variant-numeric:tabular-nums}
svg .end{text-anchor:end}svg .middle{text-anchor:middle}
svg text.ours{fill:var(--ink);font-weight:600}svg rect.ours{fill:var(--a)}svg rect.theirs{fill:var(--theirs)}
svg text.theirs,svg text.ours{font-size:13.5px}
table{border-collapse:collapse;width:100%;font-size:14.5px}
th,td{text-align:left;padding:7px 12px 7px 0;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--soft);font-size:13px}
tr:last-child td{border-bottom:0}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
tr.ours td{font-weight:600}
td.verdict{white-space:nowrap;text-align:right;padding-right:0}
td.name{color:var(--soft);white-space:nowrap;width:1%}td.value{overflow-wrap:anywhere}
.won{color:var(--good)}.lost{color:var(--b)}
.sample{margin:0 0 12px}
.sample .at{color:var(--soft);font-size:13px;margin:0 0 6px}
.text,pre,code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:13.5px}
.text{white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.5;margin:0}
.text b{color:var(--a);font-weight:600}
.byte{color:var(--b);opacity:.85}
pre{margin:0;white-space:pre;overflow-x:auto;line-height:1.5}
summary{cursor:pointer;font-weight:600;padding:2px 0}
details[open] summary{margin-bottom:10px}
.next{display:grid;gap:14px}.next p{margin:0 0 4px;color:var(--soft);font-size:14px}
footer{margin-top:48px;padding-top:16px;border-top:1px solid var(--line);color:var(--soft);font-size:13px}
footer ul{margin:6px 0;padding-left:18px;overflow-wrap:anywhere}
@media (max-width:720px){main{padding:24px 14px 48px}h1{font-size:27px}h2{margin-top:34px}
.grid{grid-template-columns:minmax(0,1fr)}.wide{display:none}.narrow{display:block}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}.tile{padding:12px 13px}.tile dd{font-size:21px}
.tile:last-child:nth-child(odd){grid-column:1/-1}.card{padding:14px 13px 12px}svg text{font-size:13.5px}svg text.theirs,svg text.ours{font-size:15.5px}td.name{white-space:normal;width:40%}}
@media print{:root{color-scheme:light;--paper:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#ccc;--grid:#e6e6e6;--a:#1f4fc0;
--b:#b04a12;--good:#14633b;--wash:#f1f4fd;--theirs:#c3c6cd}body{font-size:11pt}main{max-width:none;padding:0}
.card,.tile,.sample,tr{break-inside:avoid}h2{break-after:avoid}pre{white-space:pre-wrap;overflow-wrap:anywhere}
.wide{display:block}.narrow{display:none}.grid{grid-template-columns:repeat(2,minmax(0,1fr))}}
)css";
}

}  // namespace megalith::app
