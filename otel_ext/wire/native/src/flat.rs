//! Flattened messages and tool definitions: `{prefix}{i}.message.tool_calls.{j}.tool_call.function.name` of `OpenInference`,
//! `{prefix}{i}.tool_calls.{j}.name` of `OpenLLMetry`, and the like. `otel_ext/wire/flat.py` reads the same.

/// What one key holds of message `i`. The order is that of `Slot`: texts before calls, content before contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Content,
    ContentsText,
    CallId,
    CallName,
    CallArguments,
    AnswerId,
}

/// Message, group (0 content, 1 contents, 2 calls, 3 answers), place in the group, part.
pub type Slot = (u32, u8, u32, Part);

/// One attribute under a prefix; the first of a slot on the wire counts.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    pub entry: usize,
    pub place: usize, // among the candidates of the span
    pub slot: Slot,
    pub start: usize,
    pub end: usize,
}

/// More digits are no index: no framework has a thousand million messages in a span.
const DIGITS_MAX: usize = 9;

fn index(text: &[u8]) -> Option<(u32, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=DIGITS_MAX).contains(&length) {
        return None;
    }
    let (digits, rest) = text.split_at_checked(length)?;
    Some((digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')), rest))
}

/// The slot of a key, given what follows the prefix.
pub fn slot(rest: &[u8]) -> Option<Slot> {
    let (message, rest) = index(rest)?;
    let rest = rest.strip_prefix(b".")?;
    let rest = rest.strip_prefix(b"message.").unwrap_or(rest);
    if let Some(rest) = rest.strip_prefix(b"contents.") {
        let (place, rest) = index(rest)?;
        return (rest == b".message_content.text").then_some((message, 1, place, Part::ContentsText));
    }
    if let Some(rest) = rest.strip_prefix(b"tool_calls.") {
        let (place, rest) = index(rest)?;
        let rest = rest.strip_prefix(b".")?;
        let part = match rest.strip_prefix(b"tool_call.").unwrap_or(rest) {
            b"id" => Part::CallId,
            b"function.name" | b"name" => Part::CallName,
            b"function.arguments" | b"arguments" => Part::CallArguments,
            _ => return None,
        };
        return Some((message, 2, place + 1, part));
    }
    match rest {
        b"content" => Some((message, 0, 0, Part::Content)),
        b"function_call_name" | b"function_call.name" => Some((message, 2, 0, Part::CallName)),
        b"function_call_arguments_json" | b"function_call.arguments" => Some((message, 2, 0, Part::CallArguments)),
        b"tool_call_id" => Some((message, 3, 0, Part::AnswerId)),
        _ => None,
    }
}

/// Whether a key, given what follows the prefix, has a definition of a tool or its name.
pub fn declares(rest: &[u8]) -> bool {
    let names: [&[u8]; 5] = [b".tool.json_schema", b".json_schema", b".tool.name", b".name", b".function.name"];
    index(rest).is_some_and(|(_, rest)| names.contains(&rest))
}

/// The items of `entry` by slot, doubles left out.
pub fn sorted(items: &[Item], entry: usize, out: &mut Vec<Item>) {
    out.clear();
    out.extend(items.iter().filter(|item| item.entry == entry));
    out.sort_by_key(|item| item.slot); // stable: of doubles the first on the wire comes first
    out.dedup_by_key(|item| item.slot);
}

/// The texts in order: of a message with `content` only that.
pub fn texts(sorted: &[Item]) -> impl Iterator<Item = &Item> {
    let mut with_content = None;
    sorted.iter().filter(move |item| match item.slot {
        (message, 0, ..) => {
            with_content = Some(message);
            true
        }
        (message, 1, ..) => with_content != Some(message),
        _ => false,
    })
}

/// The calls in order, as runs of items.
pub fn calls(sorted: &[Item]) -> impl Iterator<Item = &[Item]> {
    let place = |item: &Item| (item.slot.0, item.slot.1, item.slot.2);
    sorted.chunk_by(move |a, b| place(a) == place(b)).filter(|run| run.first().is_some_and(|item| item.slot.1 == 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        assert_eq!(slot(b"0.message.content"), Some((0, 0, 0, Part::Content)));
        assert_eq!(slot(b"12.message.tool_calls.3.tool_call.function.name"), Some((12, 2, 4, Part::CallName)));
        assert_eq!(slot(b"2.tool_calls.0.name"), Some((2, 2, 1, Part::CallName)));
        assert!(declares(b"0.tool.json_schema") && declares(b"12.name") && !declares(b"x.name") && !declares(b"0.names"));
        assert_eq!(slot(b"1.message.contents.2.message_content.text"), Some((1, 1, 2, Part::ContentsText)));
        for bad in [
            "",
            ".message.content",
            "x.message.content",
            "1234567890.message.content",
            "1.message.role",
            "1.message.tool_calls.0.tool_call.x",
        ] {
            assert_eq!(slot(bad.as_bytes()), None, "{bad}");
        }
    }
}
