//! Denials and problems of the gateway in the words of the console.

use safeconduct_console::{pages, view};
use safeconduct_gateway::{DenialPage, Problem};
use safeconduct_model::Reason;

use crate::house::House;
use crate::rooms::links::named;

/// Where the style sheet is served on the hosts of applications.
const ASSETS_ELSEWHERE: &str = "/.safeconduct/assets";
pub(crate) const ASSETS_HERE: &str = "/assets";

/// The page that explains a denial.
pub(crate) fn denial(house: &House, page: &DenialPage) -> String {
    let current = house.current();
    let person = page
        .person
        .as_ref()
        .map(|id| current.config.estate.people.get(id).map_or_else(|| id.to_string(), |p| p.name.clone()));
    let on_portal = page.return_to.starts_with(&format!("{}/", house.origin));
    let unknown = page.reason == Reason::UnknownApplication;
    let told = view::Denied {
        assets: if on_portal { ASSETS_HERE } else { ASSETS_ELSEWHERE }.to_owned(),
        portal: house.origin.clone(),
        organisation: current.config.settings.organisation.clone(),
        app: (!unknown).then(|| (page.app.id.clone(), page.app.name.clone())),
        person,
        reason: page.reason,
        failing: page.failing.clone(),
        remedies: named(house, page.remedies.clone()),
        wanted: format!("{} {}", page.method, page.path),
        back: page.return_to.clone(),
        request: page.request.to_string(),
        now: page.at,
    };
    pages::denied(&told).into_string()
}

/// The page that tells of a failure.
pub(crate) fn problem(house: &House, problem: &Problem) -> String {
    // An unknown host learns nothing, not even where the style sheet would be.
    let detail = match problem.reason {
        Reason::UnknownApplication => None,
        reason => Some(reason.words().to_owned()),
    };
    let told = view::Problem {
        assets: ASSETS_ELSEWHERE.to_owned(),
        status: problem.status,
        detail,
        next: None,
        request: Some(problem.request.to_string()),
        now: house.now(),
    };
    pages::problem(&told).into_string()
}
