//! What the browser complained about.

use serde_json::Value;

/// The complaints in the browser's log, but for those that say one of the expected things.
pub(crate) fn complaints(entries: &Value, expected: &[&str]) -> Vec<String> {
    let entries = entries.as_array().into_iter().flatten();
    let told = entries.filter_map(|entry| {
        let (level, message) = (entry["level"].as_str()?, entry["message"].as_str()?);
        let weighs = ["SEVERE", "WARNING"].contains(&level) || message.contains("Content Security Policy");
        (weighs && !expected.iter().any(|e| message.contains(e))).then(|| format!("{level}: {message}"))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn errors_and_violations_are_complaints_and_chatter_is_not() {
        let log = json!([
            { "level": "INFO", "message": "hello" },
            { "level": "SEVERE", "message": "https://x/ - Failed to load resource: status of 403 ()" },
            { "level": "INFO", "message": "violates the following Content Security Policy directive" },
        ]);
        assert_eq!(complaints(&log, &[]).len(), 2);
        assert_eq!(complaints(&log, &["status of 403"]).len(), 1);
    }
}
