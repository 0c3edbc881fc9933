//! One case of the certification scenario: what it asks, and whether the answer is what it expects.

use std::collections::BTreeMap;

use serde_json::Value;

use super::stage::{Reply, Stage};

/// Answers of earlier cases, for those that refer to them.
pub(crate) type Earlier = BTreeMap<String, Value>;

/// Why a case failed; nothing if it passed.
pub(crate) type Failed = Option<String>;

/// What is compared: the name of the expectation, and whether it holds.
type Check<'c> = (&'static str, &'c dyn Fn(&Value) -> bool);

/// Puts a case to the server.
pub(crate) fn run(stage: &Stage, case: &Value, paths: &Value, earlier: &mut Earlier) -> anyhow::Result<Failed> {
    let text = |name: &str| case[name].as_str().unwrap_or_default();
    let mut request = case["request"].clone();
    if let Some(of) = request["page"]["token"].as_str().and_then(|t| t.strip_prefix("<page.next_token of ")) {
        let token = earlier.get(of.trim_end_matches('>')).map(|v| v["page"]["next_token"].clone());
        match token.filter(|t| t.as_str().is_some_and(|t| !t.is_empty())) {
            Some(token) => request["page"]["token"] = token,
            None => return Ok(None),
        }
    }
    let headers: Vec<(String, String)> = case["headers"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(n, v)| Some((n.clone(), v.as_str()?.to_owned())))
        .collect();
    let body = case["raw_body"].as_str().map_or_else(|| request.to_string(), str::to_owned);
    let kind = case["content_type"].as_str().unwrap_or("application/json");
    let endpoint = text("endpoint");
    let mut failed = None;
    for _ in 0..case["repeat"].as_u64().unwrap_or(1) {
        let reply = match case["method"].as_str() {
            Some("GET") => stage.get(endpoint)?,
            _ => stage.post(paths[endpoint].as_str().unwrap_or(endpoint), kind, &headers, &body)?,
        };
        failed = failed.or(judge(&case["expect"], &reply, earlier, &stage.origin()));
        earlier.insert(text("id").to_owned(), serde_json::from_str(&reply.body).unwrap_or_default());
    }
    Ok(failed)
}

/// Compares an answer with what is expected of it.
fn judge(expect: &Value, reply: &Reply, earlier: &Earlier, origin: &str) -> Failed {
    let status = expect["status"].as_u64().unwrap_or(200);
    if u64::from(reply.status) != status {
        return Some(format!("status {} instead of {status}: {}", reply.status, reply.body));
    }
    let kind = reply.header("content-type").unwrap_or_default();
    if !kind.starts_with("application/json") {
        return Some(format!("content type {kind}"));
    }
    for (name, wanted) in expect["headers"].as_object().into_iter().flatten() {
        if reply.header(&name.to_ascii_lowercase()) != wanted.as_str() {
            return Some(format!("the header {name} is not echoed"));
        }
    }
    if status != 200 {
        return None;
    }
    let Ok(body) = serde_json::from_str::<Value>(&reply.body) else { return Some("the body is not JSON".to_owned()) };
    let checks: [Check<'_>; 9] = [
        ("decision", &|wanted| {
            body["decision"] == *wanted && (body["context"].is_null() || body["context"].is_object())
        }),
        ("decisions", &|wanted| decisions(&body, wanted)),
        ("includes", &|wanted| wanted.as_array().into_iter().flatten().all(|row| results(&body).contains(row))),
        ("results", &|wanted| body["results"] == *wanted),
        ("same_as", &|of| earlier.get(of.as_str().unwrap_or_default()).is_some_and(|o| results(o) == results(&body))),
        ("all_of_type", &|kind| results(&body).iter().all(|row| row["type"] == *kind)),
        ("page", &|wanted| body["page"]["next_token"].is_string() || (wanted == "optional" && body["page"].is_null())),
        ("required", &|names| {
            names.as_array().into_iter().flatten().all(|n| body[n.as_str().unwrap_or("?")].is_string())
        }),
        ("https_urls_if_present", &|names| {
            names.as_array().into_iter().flatten().all(|n| {
                let value = &body[n.as_str().unwrap_or("?")];
                value.is_null() || value.as_str().is_some_and(|v| v.starts_with("https://"))
            })
        }),
    ];
    for (name, holds) in checks {
        if !expect[name].is_null() && !holds(&expect[name]) {
            return Some(format!("{name}: {} does not hold for {}", expect[name], reply.body));
        }
    }
    if !expect["policy_decision_point"].is_null() && body["policy_decision_point"] != origin {
        return Some(format!("policy_decision_point is {}", body["policy_decision_point"]));
    }
    None
}

fn results(body: &Value) -> Vec<Value> {
    body["results"].as_array().cloned().unwrap_or_default()
}

/// As many, in the same order; null is any boolean.
pub(crate) fn decisions(body: &Value, wanted: &Value) -> bool {
    let (Some(got), Some(wanted)) = (body["evaluations"].as_array(), wanted.as_array()) else { return false };
    got.len() == wanted.len()
        && got
            .iter()
            .zip(wanted)
            .all(|(got, wanted)| got["decision"].is_boolean() && (wanted.is_null() || got["decision"] == *wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(expect: &Value, status: u16, body: &Value) -> Failed {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        judge(expect, &Reply { status, headers, body: body.to_string() }, &Earlier::new(), "https://pdp")
    }

    #[test]
    fn a_wrong_answer_fails() {
        assert_eq!(told(&json!({ "status": 200, "decision": true }), 200, &json!({ "decision": true })), None);
        assert!(told(&json!({ "status": 200, "decision": true }), 200, &json!({ "decision": false })).is_some());
        assert!(
            told(&json!({ "status": 200, "decision": true }), 200, &json!({ "decision": true, "context": 1 }))
                .is_some()
        );
        assert!(told(&json!({ "status": 400 }), 200, &json!({ "decision": true })).is_some());
        let wanted = json!({ "status": 200, "decisions": [true, null] });
        assert_eq!(told(&wanted, 200, &json!({ "evaluations": [{ "decision": true }, { "decision": false }] })), None);
        assert!(told(&wanted, 200, &json!({ "evaluations": [{ "decision": true }] })).is_some());
        assert!(told(&json!({ "status": 200, "results": [] }), 200, &json!({ "results": [{}] })).is_some());
        assert!(told(&json!({ "status": 200, "page": "required" }), 200, &json!({ "results": [] })).is_some());
    }
}
