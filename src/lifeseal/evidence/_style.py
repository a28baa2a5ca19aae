# SPDX-License-Identifier: Apache-2.0
"""How the report looks, on a screen and on paper."""

STYLE = """
:root{--ink:#1b2330;--soft:#5a6472;--line:#dfe3e8;--paper:#fff;--pass:#1b7f4d;--fail:#b3261e;--half:#8a6d00;--none:#c3cad2}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:1080px;margin:0 auto;padding:2.5rem 1.5rem 1rem}
h1{font-size:2rem;line-height:1.2;margin:0 0 1.2rem;letter-spacing:-.01em}
h2{font-size:1.3rem;margin:2.6rem 0 .8rem;padding-top:.9rem;border-top:2px solid var(--ink)}
h3{font-size:1rem;margin:1.4rem 0 .5rem}
code{font:.84em/1.4 ui-monospace,"SF Mono",Menlo,Consolas,monospace;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem;margin:0 0 1.5rem}
dt{color:var(--soft)}dd{margin:0}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:1px;background:var(--line);border:1px solid var(--line)}
.figures div{background:var(--paper);padding:.9rem 1rem}
.figures b{display:block;font-size:1.9rem;line-height:1.1;font-variant-numeric:tabular-nums}
.figures span{color:var(--soft);font-size:.9rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.45rem .8rem .45rem 0;border-bottom:1px solid var(--line)}
thead th{color:var(--soft);font-weight:600;white-space:nowrap}
.any{display:inline-block;min-width:7em;overflow-wrap:anywhere}#refusals .any{min-width:13em}
small{color:var(--soft)}
.time{white-space:nowrap}
.calm{color:var(--soft)}
.verdict{white-space:nowrap;font-weight:600}
.verdict.pass{color:var(--pass)}.verdict.fail{color:var(--fail)}.verdict.inconclusive{color:var(--half)}
.legend{display:flex;flex-wrap:wrap;gap:.4rem 1.4rem;color:var(--soft);font-size:.9rem}
.legend .dot{width:1em;min-width:1em;height:1em;padding:0;margin-right:.45em;vertical-align:-.1em}
.map{display:grid;grid-template-columns:repeat(auto-fill,minmax(245px,1fr));gap:.9rem}
.card{border:1px solid var(--line);border-radius:6px;padding:.8rem .9rem;break-inside:avoid}
.card h3{margin:.1rem 0 .7rem;font-size:.95rem;line-height:1.3}
.phase{margin:0;color:var(--soft);font-size:.75rem;text-transform:uppercase;letter-spacing:.06em}
.dots{display:flex;flex-wrap:wrap;gap:.3rem}
.dot{display:inline-block;min-width:2.9em;padding:.12em .45em;border-radius:4px;font-size:.76rem;text-align:center;border:1.5px solid}
.dot.pass{background:var(--pass);border-color:var(--pass);color:#fff}
.dot.fail{background:var(--fail);border-color:var(--fail);color:#fff}
.dot.inconclusive{background:#fff6d6;border-color:var(--half);color:#5e4a00}
.dot.none{background:var(--paper);border-color:var(--none);color:var(--soft)}
.dot.people{background:var(--line);border-color:var(--line);color:#4a5361}
.days th{font-weight:400;white-space:nowrap;width:1%}.days td:last-child{width:1%;text-align:right;padding-right:0}
.bar span{display:inline-block;height:.8em}
.bar .pass{background:var(--pass)}.bar .fail{background:var(--fail)}.bar .inconclusive{background:var(--half)}
footer{max-width:1080px;margin:2rem auto 0;padding:1rem 1.5rem 2.5rem;color:var(--soft);font-size:.85rem}
@media screen{table{min-width:640px}.days{min-width:0}}
@media print{
@page{margin:16mm}
body{font-size:10pt}main{max-width:none;padding:0}h1{font-size:20pt}table{font-size:8.5pt}th,td{padding:.3rem .6rem .3rem 0}h2{margin-top:1.6rem}
.map{grid-template-columns:repeat(3,1fr);gap:.5rem}.card{padding:.5rem .6rem}footer{margin:1rem 0 0;padding:0}
h2,.legend{break-after:avoid}tr,.figures div,#principles{break-inside:avoid}thead{display:table-header-group}
.wide{overflow:visible}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
}
"""
