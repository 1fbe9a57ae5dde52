//! How the template language is described: one description of each key drives the decoder, the JSON Schema and the
//! reference page, so that they cannot drift. The description itself is `language`; this is only its means.

mod decode;
mod expand;
mod scalar;
mod shape;

pub(crate) use decode::{
    Decode, Decoder, Field, Named, NamedValue, Patch, Reserved, Short, Shorthand, Spanned, Switch, did_you_mean,
};
pub(crate) use expand::expand;
pub(crate) use scalar::{
    AnyScalar, Days, Duration, Integer, Minutes, OneOf, OneOrMore, Seconds, Text, TextRule, Variant, matches,
};
pub(crate) use shape::{FieldShape, Presence, RecordShape, Shape};

/// Declares a mapping of the language: a struct whose doc comments, types and defaults are its description.
///
/// `name: Type = "yaml"` is a key with that default; `name: Spanned<T>` without one is required; `Option<…>` may be
/// absent; `Reserved` is refused until a later version.
macro_rules! record {
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $name:ident as $title:literal {
            $( $(#[doc = $field_doc:literal])* $field:ident : $type:ty $(= $default:literal)? , )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone)]
        #[allow(dead_code, reason = "some keys are read from the tree, before the record is made")]
        $vis struct $name {
            /// Where it is.
            pub(crate) span: $crate::template::fault::Span,
            $( $(#[doc = $field_doc])* pub(crate) $field: $type, )*
        }

        impl $crate::template::grammar::Decode for $name {
            fn shape() -> $crate::template::grammar::Shape {
                use $crate::template::grammar::{Field, FieldShape, RecordShape, Shape, default_of, plain_key};
                Shape::Record(RecordShape {
                    title: $title,
                    doc: concat!($($doc, "\n"),*),
                    fields: || vec![ $( FieldShape {
                        key: plain_key(stringify!($field)),
                        doc: concat!($($field_doc, "\n"),*),
                        shape: <$type as Field>::shape(),
                        presence: <$type as Field>::presence(default_of(&[$($default)?])),
                    }, )* ],
                })
            }

            fn decode(
                node: &$crate::template::tree::Node,
                decoder: &mut $crate::template::grammar::Decoder,
            ) -> Option<Self> {
                use $crate::template::grammar::{Field, default_of, plain_key};
                let keys = [ $( (plain_key(stringify!($field)), <$type as Field>::presence(None)) ),* ];
                let mapping = decoder.record(node, $title, &keys)?;
                // Every field is read before any absence counts, so that every fault is found.
                $(
                    let key = plain_key(stringify!($field));
                    let default = default_of(&[$($default)?]);
                    let $field = <$type as Field>::decode_field(&mapping, key, default, node.span, decoder);
                )*
                Some(Self { span: node.span, $( $field: $field? ),* })
            }
        }
    };
}
pub(crate) use record;

/// The key that a field stands for: `r#type` is the key `type`.
pub(crate) fn plain_key(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// The default of a field that may have one.
pub(crate) fn default_of(given: &[&'static str]) -> Option<&'static str> {
    given.first().copied()
}
