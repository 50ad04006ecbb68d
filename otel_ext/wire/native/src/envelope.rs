//! What a framework wraps around a tool's result before it writes it down: a chat message with the call's id, or a result as MCP has it.
//!
//! `{"type": "tool", "data": {"content": .., "tool_call_id": .., "status": ..}}`, also without the `data` or with `kwargs` in its place, and
//! `{"content": [..], "isError": true}`. As tolerant of a cut text as `messages.rs`; `otel_ext/wire/envelope.py` does the same.

use crate::skim::{Json, Skim};

/// The result without its envelope. Where there is a call id, `content` is what the tool said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub call_id: Option<Json<'a>>,
    pub content: Option<Json<'a>>,
    pub error: bool,
}

/// The members of one object that matter.
#[derive(Default)]
struct Level<'a> {
    content: Option<Json<'a>>,
    call_id: Option<Json<'a>>,
    status: Option<Json<'a>>,
    errors: [Option<Json<'a>>; 2],
}

impl<'a> Level<'a> {
    fn member(&mut self, skim: Skim<'a>, key: &[u8], at: usize) -> Option<usize> {
        let [is_error, snake] = &mut self.errors;
        let slot = match key {
            b"content" => &mut self.content,
            b"tool_call_id" => &mut self.call_id,
            b"status" => &mut self.status,
            b"isError" => is_error,
            b"is_error" => snake,
            _ => return skim.skip(at),
        };
        skim.take(at, slot)
    }

    fn has_call_id(&self) -> bool {
        self.call_id.and_then(Json::present).is_some_and(|id| !id.raw.is_empty())
    }

    fn says_error(&self) -> bool {
        self.errors.iter().flatten().any(|value| !value.is_string && value.raw == b"true")
    }
}

impl<'a> Envelope<'a> {
    /// Of a text that starts with a brace.
    pub fn read(json: &'a [u8]) -> Self {
        let skim = Skim { json };
        let (mut outer, mut inner) = (Level::default(), Level::default());
        // None: stopped at a fault, which is allowed.
        let _ = skim.members(0, |key, at| match (key, skim.byte(at)?) {
            (b"data" | b"kwargs", b'{') => skim.members(at, |key, at| inner.member(skim, key, at)),
            _ => outer.member(skim, key, at),
        });
        let error = outer.says_error() || inner.says_error();
        let level = if outer.has_call_id() { outer } else { inner };
        if !level.has_call_id() {
            return Self { error, ..Self::default() };
        }
        let failed = level.status.and_then(Json::string) == Some(b"error");
        Self { call_id: level.call_id, content: level.content, error: error || failed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_around_a_result() {
        let json = br#"{"type":"tool","data":{"content":"a\"b","tool_call_id":"c1","status":"error"}}"#;
        let envelope = Envelope::read(json);
        assert_eq!(envelope.content.map(|json| json.raw), Some(br#"a\"b"#.as_slice()));
        assert_eq!(envelope.call_id.map(|json| json.raw), Some(b"c1".as_slice()));
        assert!(envelope.error);
        assert_eq!(Envelope::read(br#"{"content":"x","status":"error"}"#), Envelope::default());
        assert!(Envelope::read(br#"{"content":[],"isError":true}"#).error);
    }
}
