# SPDX-License-Identifier: Apache-2.0
"""How the page looks, on a screen and on A4."""

STYLE = """
:root{--ink:#1b2330;--soft:#5a6472;--line:#d7dce2;--pass:#1b7f4d;--fail:#b3261e;--half:#8a6d00}
*{box-sizing:border-box}
body{margin:0;background:#fff;color:var(--ink);font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:960px;margin:0 auto;padding:2rem 1.5rem .5rem}
header{display:flex;justify-content:space-between;gap:1.5rem;align-items:flex-start;border-bottom:2px solid var(--ink);padding-bottom:.6rem}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .6rem;letter-spacing:-.01em}
h2{font-size:1rem;margin:1.1rem 0 .35rem}
p,ul{margin:.35rem 0}ul{padding-left:1.1rem}
code{font:.82em/1.35 ui-monospace,"SF Mono",Menlo,Consolas,monospace;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:minmax(8.5em,max-content) 1fr;gap:.1rem 1rem;margin:0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.status{margin:0;padding:.45em .9em;border:2px solid;border-radius:4px;font-weight:700;font-size:1.1rem;text-align:center}
.status small{display:block;font-weight:400;font-size:.8rem;color:var(--soft)}
.status.completed{color:var(--pass)}.status.partial{color:var(--fail)}.status.pending{color:var(--half)}
.warn{color:var(--fail);font-weight:600}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.88rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.22rem .7rem .22rem 0;border-bottom:1px solid var(--line);overflow-wrap:break-word}
thead th{color:var(--soft);font-weight:600}
td:last-child,th:last-child{padding-right:0}
small,.more{color:var(--soft)}.more{font-size:.85rem}
b.refused,b.destroyed{color:var(--pass)}b.opened,b.live{color:var(--fail)}b.unknown,b.scheduled,b.handed-over{color:var(--half)}
.name{display:inline-block;min-width:5.5em;overflow-wrap:anywhere}
.figure{white-space:nowrap}
.line{display:inline-block;width:11em;height:1.4em;border-bottom:1px solid var(--ink)}
footer{max-width:960px;margin:1rem auto 0;padding:.6rem 1.5rem 2rem;color:var(--soft);font-size:.8rem}
@media (max-width:640px){header{flex-direction:column}dl{grid-template-columns:1fr}dt{margin-top:.3rem}table{min-width:620px}}
@media print{
@page{size:A4;margin:9mm 12mm}
body{font-size:7.4pt;line-height:1.22}main{max-width:none;padding:0}
header{padding-bottom:.3rem}h1{font-size:14pt;margin-bottom:.2rem}h2{font-size:8.6pt;margin:.4rem 0 .1rem;break-after:avoid}
p,ul{margin:.08rem 0}.status{font-size:10pt}.status small{font-size:7pt}
dl{row-gap:0}table{font-size:7pt}th,td{padding:.06rem .5rem .06rem 0}
tr{break-inside:avoid}thead{display:table-header-group}.wide{overflow:visible}
footer{max-width:none;margin:.5rem 0 0;padding:0;font-size:6.8pt}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
}
"""
