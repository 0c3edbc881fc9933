//! The logo and the small signs, drawn.

use maud::{Markup, html};

/// The logo: a gateway arch inside a seal, with one open way through it.
pub(crate) fn logo() -> Markup {
    html! {
        svg.logo viewBox="0 0 32 32" width="32" height="32" aria-hidden="true" {
            rect.logo-ground x="1" y="1" width="30" height="30" rx="8" {}
            path.logo-arch d="M8 25V15a8 8 0 0 1 16 0v10" fill="none" {}
            path.logo-way d="M16 25V14" fill="none" {}
            circle.logo-seal cx="16" cy="12" r="2" {}
        }
    }
}

/// A large quiet seal for empty pages.
pub(crate) fn seal() -> Markup {
    html! {
        svg.seal viewBox="0 0 64 64" width="64" height="64" aria-hidden="true" {
            circle cx="32" cy="32" r="29" fill="none" {}
            path d="M18 48V30a14 14 0 0 1 28 0v18" fill="none" {}
            path d="M32 48V28" fill="none" {}
            circle.fill cx="32" cy="24" r="3" {}
        }
    }
}

/// A small sign inside a line of text.
pub(crate) fn glyph(name: &str) -> Markup {
    html! {
        svg.glyph viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" {
            @match name {
                "check" => path d="M2 6.5 5 9.5 10 3" fill="none" {},
                "cross" => path d="M3 3l6 6M9 3l-6 6" fill="none" {},
                "bar" => path d="M2.5 6h7" fill="none" {},
                "half" => { circle cx="6" cy="6" r="4" fill="none" {} path.solid d="M6 2a4 4 0 0 0 0 8z" {} },
                "unknown" => { circle.dashed cx="6" cy="6" r="4" fill="none" {} },
                "arrow" => path d="M2 6h8M7 3l3 3-3 3" fill="none" {},
                "clock" => { circle cx="6" cy="6" r="4.5" fill="none" {} path d="M6 3.5V6l2 1.5" fill="none" {} },
                "alarm" => { path d="M6 1.5 11 10.5H1z" fill="none" {} path d="M6 5v2.5" fill="none" {} },
                _ => circle.solid cx="6" cy="6" r="2" {},
            }
        }
    }
}

/// The sign of a place in the navigation.
pub(crate) fn nav(name: &str) -> Markup {
    html! {
        svg.nav-icon viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" {
            @match name {
                "overview" => path d="M3 11l7-7 7 7M5 9.5V16h10V9.5" fill="none" {},
                "protect" => path d="M10 3l6 2v4.5c0 4-2.6 6.4-6 7.5-3.4-1.1-6-3.5-6-7.5V5z" fill="none" {},
                "map" => { circle cx="4.5" cy="5" r="2" fill="none" {} circle cx="4.5" cy="15" r="2" fill="none" {} circle cx="15.5" cy="10" r="2" fill="none" {} path d="M6.5 5c4 0 3 5 7 5M6.5 15c4 0 3-5 7-5" fill="none" {} },
                "policy" => path d="M5 3h7l3 3v11H5zM8 9h4M8 12.5h4" fill="none" {},
                "watch" => { path d="M2.5 10C4.5 6.5 7 5 10 5s5.5 1.5 7.5 5c-2 3.5-4.5 5-7.5 5s-5.5-1.5-7.5-5z" fill="none" {} circle cx="10" cy="10" r="2" fill="none" {} },
                "assess" => path d="M4 16V9M8 16V5M12 16v-5M16 16V7" fill="none" {},
                "apps" => path d="M4 4h5v5H4zM11 4h5v5h-5zM4 11h5v5H4zM11 11h5v5h-5z" fill="none" {},
                "people" => { circle cx="10" cy="7" r="3" fill="none" {} path d="M4 16.5c.5-3.5 3-4.5 6-4.5s5.5 1 6 4.5" fill="none" {} },
                "devices" => path d="M4 5h12v8H4zM2.5 16h15" fill="none" {},
                "connectors" => path d="M2.5 10h5M12.5 10h5M7.5 6v8M12.5 6v8" fill="none" {},
                "locks" => { path d="M5 9h10v7H5z" fill="none" {} path d="M7 9V6.5a3 3 0 0 1 6 0V9" fill="none" {} },
                "health" => path d="M2.5 10.5h4l2-5 3 9 2-4h4" fill="none" {},
                _ => circle cx="10" cy="10" r="6" fill="none" {},
            }
        }
    }
}
