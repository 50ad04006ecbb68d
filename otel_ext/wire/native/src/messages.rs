//! Chat messages in a JSON string, skimmed: only what the rules need, nothing is built.
//!
//! Two shapes: `[{"role", "parts": [{"type": "text" | "tool_call" | "tool_call_response", ..}]}]` and that of `OpenAI`
//! `{"role", "content", "tool_calls": [{"id", "function": {"name", "arguments"}}], "tool_call_id"}`.
//!
//! Tolerant on purpose, because SDKs cut long attributes: a fault ends the reading, and what was complete by then stays. Complete is: a text
//! with its closing quote, a part or a tool call with its closing brace, an `OpenAI` answer with the brace of its message.
//! `otel_ext/wire/messages.py` does the same, step by step.

use crate::skim::{Json, Skim};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    pub name: Option<&'a [u8]>,
    pub id: Option<Json<'a>>,
    pub arguments: Option<Json<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    pub id: Option<Json<'a>>,
    pub response: &'a [u8],
}

/// What was read; `outputs` says which side is wanted: texts and requests, or answers.
#[derive(Debug, Default)]
pub struct Messages<'a> {
    pub outputs: bool,
    pub texts: Vec<&'a [u8]>,
    pub requests: Vec<Request<'a>>,
    pub answers: Vec<Answer<'a>>,
}

impl<'a> Messages<'a> {
    pub fn read(&mut self, json: &'a [u8], outputs: bool) {
        self.outputs = outputs;
        self.texts.clear();
        self.requests.clear();
        self.answers.clear();
        let _ = self.document(Skim { json }); // None: stopped at a fault, which is allowed
    }

    fn document(&mut self, skim: Skim<'a>) -> Option<usize> {
        let at = skim.blanks(0);
        match skim.byte(at)? {
            b'[' => skim.items(at, |item| self.message(skim, item)),
            b'{' => self.message(skim, at),
            _ => None,
        }
    }

    fn message(&mut self, skim: Skim<'a>, at: usize) -> Option<usize> {
        if skim.byte(at)? != b'{' {
            return skim.skip(at);
        }
        let (mut id, mut content) = (None, None);
        let end = skim.members(at, |key, at| match (key, skim.byte(at)?) {
            (b"parts" | b"content", b'[') => {
                let end = skim.items(at, |item| self.part(skim, item))?;
                if key == b"content" {
                    content = Some(Json { raw: skim.between(at, end), is_string: false });
                }
                Some(end)
            }
            (b"content", _) => {
                let end = skim.take(at, &mut content)?;
                if self.outputs {
                    self.texts.extend(content.and_then(Json::string));
                }
                Some(end)
            }
            (b"tool_calls", b'[') if self.outputs => skim.items(at, |item| self.tool_call(skim, item)),
            (b"tool_call_id", _) => skim.take(at, &mut id),
            _ => skim.skip(at),
        })?;
        if !self.outputs && id.is_some_and(|id| id.present().is_some()) {
            self.answers.push(Answer { id, response: content.map_or(b"", |content| content.raw) });
        }
        Some(end)
    }

    fn part(&mut self, skim: Skim<'a>, at: usize) -> Option<usize> {
        if skim.byte(at)? != b'{' {
            return skim.skip(at);
        }
        let (mut kind, mut content, mut text, mut response, mut result) = (None, None, None, None, None);
        let (mut id, mut name, mut arguments) = (None, None, None);
        let end = skim.members(at, |key, at| match key {
            b"type" => skim.take(at, &mut kind),
            b"content" => skim.take(at, &mut content),
            b"text" => skim.take(at, &mut text),
            b"id" => skim.take(at, &mut id),
            b"name" => skim.take(at, &mut name),
            b"arguments" => skim.take(at, &mut arguments),
            b"response" => skim.take(at, &mut response),
            b"result" => skim.take(at, &mut result),
            _ => skim.skip(at),
        })?;
        let id = id.and_then(Json::present);
        match (kind.and_then(Json::string), self.outputs) {
            (Some(b"text"), true) => self.texts.extend(content.and_then(Json::string).or(text.and_then(Json::string))),
            (Some(b"tool_call"), true) => {
                self.requests.push(Request { name: name.and_then(Json::string), id, arguments: arguments.and_then(Json::present) });
            }
            (Some(b"tool_call_response"), false) => {
                self.answers.push(Answer { id, response: response.or(result).map_or(b"", |value| value.raw) });
            }
            _ => {}
        }
        Some(end)
    }

    fn tool_call(&mut self, skim: Skim<'a>, at: usize) -> Option<usize> {
        if skim.byte(at)? != b'{' {
            return skim.skip(at);
        }
        let (mut id, mut name, mut arguments) = (None, None, None);
        let end = skim.members(at, |key, at| match (key, skim.byte(at)?) {
            (b"function", b'{') => skim.members(at, |key, at| match key {
                b"name" => skim.take(at, &mut name),
                b"arguments" => skim.take(at, &mut arguments),
                _ => skim.skip(at),
            }),
            (b"id", _) => skim.take(at, &mut id),
            (b"name", _) => skim.take(at, &mut name),
            (b"arguments", _) => skim.take(at, &mut arguments),
            _ => skim.skip(at),
        })?;
        let id = id.and_then(Json::present);
        self.requests.push(Request { name: name.and_then(Json::string), id, arguments: arguments.and_then(Json::present) });
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_requests_of_both_shapes() {
        let json = br#"[{"role":"assistant","parts":[{"type":"text","content":"a\"b"},
            {"type":"tool_call","id":"1","name":"f","arguments":{"x":[1]}}]},
            {"content":"c","tool_calls":[{"id":"2","function":{"name":"g","arguments":"{}"}}]}]"#;
        let mut messages = Messages::default();
        messages.read(json, true);
        assert_eq!(messages.texts, [br#"a\"b"#.as_slice(), b"c"]);
        assert_eq!(messages.requests.len(), 2);
        assert_eq!(messages.requests.first().and_then(|request| request.arguments).map(|json| json.raw), Some(br#"{"x":[1]}"#.as_slice()));
        assert_eq!(messages.requests.last().and_then(|request| request.name), Some(b"g".as_slice()));
    }

    #[test]
    fn a_cut_text_keeps_what_was_complete() {
        let json = br#"[{"parts":[{"type":"tool_call_response","id":"1","result":"no"},{"type":"tool_call_response","id":"2","#;
        let mut messages = Messages::default();
        for end in 0..=json.len() {
            messages.read(json.get(..end).unwrap_or_default(), false);
            assert!(messages.answers.len() <= 1);
        }
        assert_eq!(messages.answers.len(), 1);
    }
}
