//! Runs as one page of HTML that opens without a network: for each its picture, its verdict, the coordinators' words, and the
//! command that plays it again; all of it as JSON at the end.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::picture::{LEGEND, escaped, picture};
use crate::report::Report;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2530; --paper: #fff; --soft: #667; --line: #d5dbe3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --paper: #14181d; --soft: #9aa; --line: #333b45; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 66rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
table { border-collapse: collapse; } td, th { padding: .15rem .9rem .15rem 0; text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 500; } td.n { text-align: right; font-variant-numeric: tabular-nums; }
code, .told td { font-family: ui-monospace, monospace; font-size: 13px; }
.scroll { overflow-x: auto; } svg { width: 100%; min-width: 44rem; height: auto; }
.sound { color: #1a7f43; } .broken { color: #c0262d; font-weight: 600; } .void { color: #a15c00; }
svg text { font: 11px system-ui, sans-serif; fill: var(--ink); } svg .name { font-weight: 600; } svg .tick { fill: var(--soft); text-anchor: middle; }
svg .epoch { fill: #fff; } svg .fault { fill: #c0262d; font-weight: 600; } .struck { fill: #c0262d22; }
.serves { fill: #1a7f43; background: #1a7f43; } .elected { fill: #8bc9a2; background: #8bc9a2; } .streams { fill: #6f9fd8; background: #6f9fd8; }
.waits { fill: #c7d3e2; background: #c7d3e2; } .joins { fill: #d9b26a; background: #d9b26a; } .unheard { fill: #9993; background: #9993; }
.lag { fill: none; stroke: #101820; stroke-width: 1.2; } .acked { fill: #1a7f43aa; } .troubled { stroke: #c0262d; } .mark { stroke: var(--ink); stroke-dasharray: 3 3; stroke-width: .7; }
.legend span { display: inline-block; width: .9rem; height: .9rem; margin: 0 .35rem 0 1.1rem; vertical-align: -2px; }
";

/// Writes the page, whole or not at all.
pub(crate) fn write(path: &Path, reports: &[Report]) -> anyhow::Result<()> {
    let text = page(reports)?;
    let new = path.with_extension("new");
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
    written.with_context(|| format!("write {}", path.display()))
}

fn page(reports: &[Report]) -> anyhow::Result<String> {
    let sound = reports.iter().filter(|report| report.sound).count();
    let title = format!("Interrex: {sound} of {} runs sound", reports.len());
    let swatch = |(class, words): &(&str, &str)| format!("<span class=\"{class}\"></span>{words}");
    let legend: String = LEGEND.iter().map(swatch).collect();
    let index: String = reports.iter().enumerate().map(|(at, report)| row(at, report)).collect();
    let runs: String = reports.iter().enumerate().map(|(at, report)| section(at, report)).collect();
    // A string in it cannot end the element.
    let json = serde_json::to_string(reports)?.replace("</", "<\\/");
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n\
         <div class=\"scroll\"><table><tr><th>fault</th><th>verdict</th><th>writes stood still</th><th>whole again after</th>\
         <th>acknowledged</th><th>lost</th></tr>\n{index}</table></div>\n<p class=\"legend\">{legend}</p>\n{runs}\
         <script type=\"application/json\" id=\"runs\">{json}</script>\n</body></html>\n"
    ))
}

fn row(at: usize, report: &Report) -> String {
    let (class, word) = word(report);
    format!(
        "<tr><td><a href=\"#run-{at}\">{}</a></td><td class=\"{class}\">{word}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
        report.fault,
        ms(report.gap_ms),
        ms(report.whole_ms),
        report.acked,
        report.lost
    )
}

fn section(at: usize, report: &Report) -> String {
    let (class, word) = word(report);
    let story = &report.story;
    let since = |at_ms: u64| (at_ms as f64 - story.struck_ms as f64) / 1_000.0;
    let told = story.told.iter().filter(|told| told.at_ms + 1_000 >= story.began_ms);
    let told: String = told
        .map(|told| {
            let (kind, text) = (escaped(&told.kind), escaped(&told.text));
            format!(
                "<tr><td class=\"n\">{:+.2} s</td><td>{}</td><td>{kind}</td><td>{text}</td></tr>\n",
                since(told.at_ms),
                told.epoch
            )
        })
        .collect();
    let phases =
        report.phases.named().map(|(name, took)| format!("<td class=\"n\">{name} {}</td>", ms(took)));
    let lines = report.lines();
    let account: String =
        lines.iter().skip(1).map(|line| format!("{}<br>\n", escaped(line.trim()))).collect();
    format!(
        "<h2 id=\"run-{at}\">{}, seed {}: <span class=\"{class}\">{word}</span></h2>\n<p>{}</p>\n<div class=\"scroll\">{}</div>\n\
         <table><tr>{}</tr></table>\n<p>{account}</p>\n<details><summary>what the coordinators told</summary>\
         <div class=\"scroll\"><table class=\"told\">{told}</table></div></details>\n",
        report.fault,
        report.seed,
        escaped(story.what),
        picture(story),
        phases.concat()
    )
}

/// Its class, and how it is called.
fn word(report: &Report) -> (&'static str, &'static str) {
    let word = report.word();
    (if word == "BROKEN" { "broken" } else { word }, word)
}

fn ms(ms: Option<u64>) -> String {
    ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms} ms"))
}
