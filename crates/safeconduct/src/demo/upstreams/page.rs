//! The look of the applications: plain, and visibly not the console.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Asker;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5d6775;--paper:#fbfaf7;--card:#fff;--line:#e4e0d8;--mark:#8a5a2b}\
@media(prefers-color-scheme:dark){:root{--ink:#e8e6e1;--soft:#a3a7ae;--paper:#191b1f;--card:#22252a;--line:#363a41;--mark:#d8a56f}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 Georgia,'Times New Roman',serif}\
header{border-bottom:1px solid var(--line);padding:16px 24px;display:flex;gap:24px;align-items:baseline;flex-wrap:wrap}\
header b{font-size:20px;color:var(--mark)}nav{display:flex;gap:16px}a{color:var(--mark)}\
main{max-width:960px;margin:0 auto;padding:24px}h1{font-size:28px;margin:16px 0 8px}p{max-width:68ch}\
table{border-collapse:collapse;width:100%;margin:16px 0;background:var(--card);border:1px solid var(--line)}\
th,td{padding:8px 16px;text-align:left;border-bottom:1px solid var(--line)}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
th{font-weight:600;color:var(--soft);font-size:14px}.total td{font-weight:700}\
.who{font:14px/1.5 system-ui,sans-serif;color:var(--soft);border-top:1px solid var(--line);margin-top:40px;padding:16px 24px;text-align:center}\
.who b{color:var(--ink)}form{display:flex;gap:8px;margin:16px 0}input,button,textarea{font:inherit;padding:8px 12px;border:1px solid var(--line);border-radius:6px;background:var(--card);color:var(--ink)}\
button{cursor:pointer;background:var(--mark);color:var(--paper);border:0}.quiet{color:var(--soft)}\
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:16px;margin:16px 0}\
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:16px}.card b{display:block;font-size:24px;font-variant-numeric:tabular-nums}";

/// A page of an application. `links` are the pages of the application, `asker` is who it was told is asking.
pub(super) fn page(name: &str, links: &[(&str, &str)], asker: &Asker, title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · " (name) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    b { (name) }
                    nav { @for (to, words) in links { a href=(to) { (words) } } }
                }
                main { h1 { (title) } (body) }
                footer.who {
                    "This application was told, and verified for itself, that "
                    b data-asker=(asker.person) { (asker.person) }
                    " is asking"
                    @match &asker.device { Some(device) => { ", from " b { (device) } } None => ", from no device that it knows" }
                    @if !asker.groups.is_empty() { ", of " (asker.groups.join(", ")) }
                    "."
                }
            }
        }
    }
}

/// A table. Columns whose heading ends with `#` hold numbers.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> Markup {
    let class = |i: usize| heading.get(i).filter(|h| h.ends_with('#')).map(|_| "n");
    html! {
        table {
            thead { tr { @for (i, h) in heading.iter().enumerate() { th class=[class(i)] { (h.trim_end_matches('#')) } } } }
            tbody { @for row in rows { tr { @for (i, cell) in row.iter().enumerate() { td class=[class(i)] { (cell) } } } } }
        }
    }
}
