//! The page of the tour.

use maud::{DOCTYPE, Markup, html};

use super::super::company::DOMAIN;
use super::super::stage::{Stage, local};

/// The style of the page.
pub(super) const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#16202a;--soft:#5a6672;--paper:#f7f8f8;--card:#fff;--line:#dde2e5;--mark:#0b5d66;--on:#fff}\
@media(prefers-color-scheme:dark){:root{--ink:#e6eaed;--soft:#9aa6b0;--paper:#12171b;--card:#1a2126;--line:#2c363d;--mark:#5cc2cc;--on:#06292d}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.6 system-ui,-apple-system,'Segoe UI',sans-serif}\
main{max-width:760px;margin:0 auto;padding:56px 24px 96px}h1{font-size:34px;line-height:1.2;margin:0 0 16px;letter-spacing:-.01em}\
h2{font-size:20px;margin:0 0 8px}p{margin:0 0 16px}.soft{color:var(--soft)}.clock{color:var(--soft);font-variant-numeric:tabular-nums}\
blockquote{margin:24px 0 8px;padding:16px 24px;border-left:4px solid var(--mark);background:var(--card);font-size:18px}\
ol{list-style:none;margin:40px 0 0;padding:0;counter-reset:step}\
ol>li{counter-increment:step;position:relative;padding:0 0 40px 64px}\
ol>li::before{content:counter(step);position:absolute;left:0;top:-2px;width:36px;height:36px;border-radius:50%;border:1px solid var(--line);\
background:var(--card);display:grid;place-items:center;font-weight:600;color:var(--mark);font-variant-numeric:tabular-nums}\
ol>li:not(:last-child)::after{content:'';position:absolute;left:18px;top:40px;bottom:6px;width:1px;background:var(--line)}\
.deeds{display:flex;flex-wrap:wrap;gap:8px;margin:0 0 8px}form{margin:0}\
button{font:inherit;font-weight:500;padding:8px 16px;border-radius:8px;border:1px solid var(--line);background:var(--card);color:var(--ink);cursor:pointer}\
button:hover{border-color:var(--mark)}button.main{background:var(--mark);border-color:var(--mark);color:var(--on)}\
:focus-visible{outline:3px solid var(--mark);outline-offset:2px}\
.done{background:var(--card);border:1px solid var(--line);border-left:4px solid var(--mark);border-radius:8px;padding:12px 16px;margin:24px 0}\
code{font:14px/1.5 ui-monospace,'Cascadia Mono',Menlo,monospace;background:var(--card);border:1px solid var(--line);border-radius:6px;padding:2px 6px;overflow-wrap:anywhere}\
@media(max-width:520px){main{padding:32px 16px}ol>li{padding-left:48px}h1{font-size:28px}}";

/// A whole document.
fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="stylesheet" href="/tour.css";
            }
            body { main { (body) } }
        }
    }
}

/// A button that opens the portal as a person, in a page of its own. `to` is a path of the portal, or `app:/path`.
fn open(person: &str, to: &str, words: &str, main: bool) -> Markup {
    html! {
        form method="post" action="/as" target="_blank" {
            input type="hidden" name="person" value=(person);
            input type="hidden" name="to" value=(to);
            button.main[main] type="submit" { (words) }
        }
    }
}

/// The same from a browser without a device.
fn open_without_device(person: &str, to: &str, words: &str) -> Markup {
    html! {
        form method="post" action="/as" target="_blank" {
            input type="hidden" name="person" value=(person);
            input type="hidden" name="device" value="none";
            input type="hidden" name="to" value=(to);
            button type="submit" { (words) }
        }
    }
}

/// A button that does something to the company.
fn deed(name: &str, words: &str) -> Markup {
    html! { form method="post" action="/do" { input type="hidden" name="deed" value=(name); button type="submit" { (words) } } }
}

/// The page.
pub(super) fn page(stage: &Stage, done: &str) -> Markup {
    let now = local(stage.cast.now(), &stage.zone);
    let data = stage.dir.join("data");
    document(
        "A tour of Safeconduct",
        &html! {
            p.clock { "Brightwater Trading · " (now.strftime("%A, %-d %B %Y, %H:%M")) }
            h1 { "A company of forty people, guarded by one program" }
            p {
                "Eight applications stand behind Safeconduct. For two weeks it has seen who uses what; some of them it guards, "
                "others it only observes. Each button below signs in as one of the people, with a passkey and through the same "
                "door as everyone, and opens what they see in a page of its own."
            }
            p.soft {
                "Your browser will warn about the certificate of " (DOMAIN) " until it trusts " code { (data.join("ca.pem").display()) } "."
            }
            @if !done.is_empty() { p.done role="status" { (done) } }
            blockquote {
                "Ada has read-only access to the Q3 financial server, only from a company-managed laptop with up-to-date endpoint "
                "protection, only during business hours, for the quarter-end close."
            }
            ol {
                li {
                    h2 { "One sentence, enforced" }
                    p { "Open the finance server as Ada. It asks what for; say it is the quarter-end close, and you are in. Each page shows whom the server was told is asking, and that it checked." }
                    div.deeds { (open("ada", "q3-finance:/", "Open the finance server as Ada", true)) }
                }
                li {
                    h2 { "Each of its five Ws can fail, and says why" }
                    p { "Who: Bruno is an accountant too, and is not Ada. Where: from a browser that is not her laptop, or from her laptop with its protection off. When: after six. Try, then reload her page." }
                    div.deeds {
                        (open("bruno", "q3-finance:/", "As Bruno", false))
                        (open_without_device("ada", "q3-finance:/", "As Ada, from somewhere else"))
                    }
                    div.deeds { (deed("ada-off", "Turn off Ada's endpoint protection")) (deed("ada-on", "Repair it")) }
                }
                li {
                    h2 { "Who uses what" }
                    p { "Mira runs Safeconduct. The map is drawn from the record of two weeks: what is allowed, what is denied, and what gets through although no rule opens it." }
                    div.deeds {
                        (open("mira", "/console", "Open the console as Mira", true))
                        (open("mira", "/console/map?app=crm", "The map of the customers application", false))
                    }
                }
                li {
                    h2 { "From use to a rule" }
                    p {
                        "The customers application is only observed: whoever is signed in gets through. Let Safeconduct propose a rule "
                        "from what sales really does, look at the rehearsal on the past, and publish it. It leaves out a contractor who "
                        "took the whole customer base at night."
                    }
                    div.deeds {
                        (open("mira", "/console/policy", "Propose and publish", true))
                        (open("theo", "crm:/", "Try it as Theo of IT", false))
                        (open("jakob", "crm:/", "Try it as Jakob of sales", false))
                    }
                }
                li {
                    h2 { "A permit is a lease" }
                    p { "Prices stream to Tara over a WebSocket. Turn off the protection of her workstation and watch the stream end, within a second and without a reload." }
                    div.deeds { (open("tara", "desk:/", "Open the trading desk as Tara", true)) }
                    div.deeds { (deed("desk-off", "Turn off her protection")) (deed("desk-on", "Repair it")) }
                }
                li {
                    h2 { "Time ends access too" }
                    p { "The company's clock can only go forward. At 18:01 Ada's page is closed to her; the next morning it opens again." }
                    div.deeds { (deed("evening", "Jump to 18:01")) (deed("morning", "Jump to the next morning")) }
                }
                li {
                    h2 { "Nothing can be quietly edited" }
                    p { "Every verdict is on record with the facts that were read. Open one, replay it, then let the verifier read the whole ledger." }
                    div.deeds { (open("mira", "/console/watch", "Watch", true)) (open("mira", "/console/assess", "What all this proves", false)) }
                    p { code { "safeconduct ledger verify --config " (stage.dir.display()) } }
                }
            }
        },
    )
}

/// Something failed.
pub(super) fn failure(why: &str) -> Markup {
    document(
        "The tour stumbled",
        &html! {
            h1 { "That did not work" }
            p { (why) }
            p { a href="/" { "Back to the tour" } }
        },
    )
}
