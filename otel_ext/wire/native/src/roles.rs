//! What the keys of a message stand for, and its types. `otel_ext/wire/messages.py` has the same as tables.

/// What a key of an object stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Type,
    Content,
    Text,
    Id,
    CallId,
    ToolCallId,
    Name,
    Arguments,
    Input,
    Response,
    Result,
    Output,
    Parts,     // a list of parts
    Blocks,    // a list of parts that is a content
    Beside,    // an object with the id of an answered call
    Builtin,   // true: a call that the provider executed itself
    List,      // of messages or what holds some
    Object,    // that is a message or holds some
    ToolCalls, // a list
    Call,      // an object
    Answer,    // an object
    Origin,    // of an answer, an object
    Refusal,
    Audio,
    Other,
}

impl Role {
    /// By length first: then a few comparisons of whole words are left.
    #[inline]
    pub fn of(key: &[u8]) -> Self {
        match key.len() {
            2 if key == b"id" => Self::Id,
            4 => match key {
                b"type" => Self::Type,
                b"text" => Self::Text,
                b"name" => Self::Name,
                b"args" => Self::Arguments,
                b"data" => Self::Object,
                _ => Self::Other,
            },
            5 => match key {
                b"parts" => Self::Parts,
                b"input" => Self::Input,
                b"audio" => Self::Audio,
                _ => Self::Other,
            },
            6 => match key {
                b"result" => Self::Result,
                b"output" => Self::Output,
                b"kwargs" => Self::Object,
                b"blocks" => Self::Blocks,
                b"origin" => Self::Origin,
                _ => Self::Other,
            },
            7 => match key {
                b"content" => Self::Content,
                b"message" => Self::Object,
                b"call_id" => Self::CallId,
                b"toolUse" => Self::Call,
                b"choices" | b"replies" => Self::List,
                b"refusal" => Self::Refusal,
                b"builtin" => Self::Builtin,
                _ => Self::Other,
            },
            8 => match key {
                b"function" => Self::Call,
                b"messages" => Self::List,
                b"contents" => Self::Parts,
                b"response" => Self::Response,
                b"toolName" => Self::Name,
                _ => Self::Other,
            },
            _ => Self::of_long(key),
        }
    }

    fn of_long(key: &[u8]) -> Self {
        match key {
            b"arguments" => Self::Arguments,
            b"tool_name" => Self::Name,
            b"tool_calls" => Self::ToolCalls,
            b"tool_call_id" => Self::ToolCallId,
            b"toolUseId" | b"toolCallId" | b"tool_use_id" => Self::CallId,
            b"tool_call" | b"function_call" | b"functionCall" => Self::Call,
            b"toolResult" | b"functionResponse" | b"function_response" | b"tool_call_result" => Self::Answer,
            b"candidates" | b"generations" => Self::List,
            b"additional_kwargs" => Self::Beside,
            _ => Self::Other,
        }
    }
}

/// What the type of an object says it is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    None, // there is no such text
    Text,
    Call,
    Response, // an answer also where nobody says to which call
    Answer,
    Silent, // what a model thinks
    Other,
}

impl Kind {
    pub fn of(text: Option<&[u8]>) -> Self {
        let Some(text) = text else {
            return Self::None;
        };
        match text.len() {
            4 if text == b"text" => Self::Text,
            9 if text == b"tool_call" => Self::Call,
            18 if text == b"tool_call_response" => Self::Response,
            _ => match text {
                b"output_text" => Self::Text,
                b"tool_use" | b"tool-call" | b"function_call" | b"function" => Self::Call,
                b"tool_result" | b"tool-result" | b"function_call_output" => Self::Answer,
                b"reasoning" | b"thinking" | b"redacted_thinking" => Self::Silent,
                _ => Self::Other,
            },
        }
    }

    pub fn answers(self) -> bool {
        matches!(self, Self::Response | Self::Answer)
    }
}

/// Where an object stands.
#[derive(Clone, Copy, Default)]
pub struct Where {
    pub depth: usize,
    pub part: bool, // in a list of parts
    pub call: bool, // in a list of calls
}

impl Where {
    #[must_use]
    pub fn inside(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }
}
