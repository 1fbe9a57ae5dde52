//! XML of the query protocol and of S3: read into a tree, which may be changed and written again.

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use quick_xml::{Reader, Writer};

/// An element with its attributes as they came.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    start: BytesStart<'static>,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    /// Reads the outermost element. `None` when it is malformed.
    pub(crate) fn parse(xml: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(xml).ok()?;
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Self> = Vec::new();
        loop {
            let closed = match reader.read_event().ok()? {
                Event::Start(start) => {
                    open.push(Self::new(start));
                    continue;
                }
                Event::Empty(start) => Self::new(start),
                Event::End(_) => open.pop()?,
                Event::Text(text) => {
                    push_text(&mut open, &text);
                    continue;
                }
                Event::CData(text) => {
                    push_text(&mut open, &text);
                    continue;
                }
                Event::GeneralRef(reference) => {
                    let character = reference.resolve_char_ref().ok()?;
                    let text = match character {
                        Some(character) => character.to_string(),
                        None => resolve_predefined_entity(&reference)?.to_owned(),
                    };
                    push_text(&mut open, &text);
                    continue;
                }
                Event::Eof => return None,
                _ => continue,
            };
            match open.last_mut() {
                Some(parent) => parent.nodes.push(Node::Element(closed)),
                None => return Some(closed),
            }
        }
    }

    fn new(start: BytesStart<'_>) -> Self {
        Self {
            start: start.into_owned(),
            nodes: Vec::new(),
        }
    }

    fn is_named(&self, name: &str) -> bool {
        self.start.local_name().as_ref() == name
    }

    fn children(&self) -> impl Iterator<Item = &Self> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// All elements of a name below this one, in order; not those within another of the name.
    pub(crate) fn all(&self, name: &str) -> Vec<&Self> {
        let found = self.children().flat_map(|child| match child.is_named(name) {
            true => vec![child],
            false => child.all(name),
        });
        found.collect()
    }

    /// The first element of a name below this one.
    pub(crate) fn first(&self, name: &str) -> Option<&Self> {
        self.children().find_map(|child| match child.is_named(name) {
            true => Some(child),
            false => child.first(name),
        })
    }

    /// The text of the first element of a name.
    pub(crate) fn text_of(&self, name: &str) -> Option<String> {
        self.first(name).map(Self::text)
    }

    /// The text of this element, without that of elements in it.
    pub(crate) fn text(&self) -> String {
        let texts = self.nodes.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        texts.collect()
    }

    /// Replaces the content of the first element of a name, if there is one.
    pub(crate) fn set_first(&mut self, name: &str, text: &str) -> bool {
        self.nodes.iter_mut().any(|node| match node {
            Node::Element(child) if child.is_named(name) => {
                child.nodes = vec![Node::Text(text.to_owned())];
                true
            }
            Node::Element(child) => child.set_first(name, text),
            Node::Text(_) => false,
        })
    }

    /// Changes every element of a name, outermost ones.
    pub(crate) fn change_all(&mut self, name: &str, change: &dyn Fn(&mut Self)) {
        for node in &mut self.nodes {
            match node {
                Node::Element(child) if child.is_named(name) => change(child),
                Node::Element(child) => child.change_all(name, change),
                Node::Text(_) => {}
            }
        }
    }

    /// Writes a document of this element.
    pub(crate) fn to_xml(&self) -> Vec<u8> {
        let mut writer = Writer::new(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_vec());
        // Writing to memory does not fail.
        let _ = self.write(&mut writer);
        writer.into_inner()
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        writer.write_event(Event::Start(self.start.borrow()))?;
        for node in &self.nodes {
            match node {
                Node::Element(child) => child.write(writer)?,
                Node::Text(text) => writer.write_event(Event::Text(BytesText::new(text)))?,
            }
        }
        writer.write_event(Event::End(BytesEnd::from(self.start.name())))
    }
}

fn push_text(open: &mut [Element], text: &str) {
    let Some(element) = open.last_mut() else { return };
    match element.nodes.last_mut() {
        Some(Node::Text(before)) => before.push_str(text),
        _ => element.nodes.push(Node::Text(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use super::*;

    #[test]
    fn elements_are_found_at_any_depth() {
        let xml = "<r><a><Key>1</Key></a><Key>2</Key><Empty/></r>";
        let root = Element::parse(xml.as_bytes()).unwrap();
        let texts: Vec<String> = root.all("Key").into_iter().map(Element::text).collect();
        assert_eq!(texts, ["1", "2"]);
        assert_eq!(root.text_of("Key").as_deref(), Some("1"));
        assert_eq!(root.text_of("Empty").as_deref(), Some(""));
        assert_eq!(root.text_of("Other"), None);
        assert!(Element::parse(b"<Key>").is_none());
        assert!(Element::parse(b"").is_none());
    }

    #[test]
    fn members_within_members_belong_to_them() {
        let xml = "<r><member><n>1</n><Tags><member><n>2</n></member></Tags></member><member><n>3</n></member></r>";
        let root = Element::parse(xml.as_bytes()).unwrap();
        let names: Vec<String> = root.all("member").iter().filter_map(|one| one.text_of("n")).collect();
        assert_eq!(names, ["1", "3"]);
    }

    #[test]
    fn escaped_text_comes_and_goes() {
        let xml = b"<?xml version=\"1.0\"?><r xmlns=\"urn:x\"><a>&lt;&quot;&#65;&amp;</a><b>old</b></r>";
        let mut root = Element::parse(xml).unwrap();
        assert_eq!(root.text_of("a").as_deref(), Some("<\"A&"));
        assert!(root.set_first("b", "<new>"));
        assert!(!root.set_first("c", ""));
        let written = String::from_utf8(root.to_xml()).unwrap();
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<r xmlns=\"urn:x\"><a>&lt;&quot;A&amp;</a><b>&lt;new&gt;</b></r>";
        assert_eq!(written, expected);
    }
}
