// The content types that Chroma accepts for a JSON body.
//
// The rules are those of axum's Json extractor with the mime crate's grammar, absence allowed (tried on 1.0.5).

const TOKEN = "[!#$%&'*+.^_`|~0-9a-z-]";
const JSON_TYPE = new RegExp(
  `^application/(?:json(?:\\+[^+;]+)?|${TOKEN}+\\+json)(?:; *${TOKEN}+=(?:${TOKEN}*|"[^"]*"))*;? *$`,
  'i',
);

/** True for application/json and application/*+json, with any well-formed parameters; also without a header. */
export function isJsonType(contentType: string | undefined): boolean {
  return contentType === undefined || contentType === 'application/json' || JSON_TYPE.test(contentType);
}
