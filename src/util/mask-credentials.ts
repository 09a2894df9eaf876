// Masks the user and password in URLs before they are logged or shown.

// The user information of a URL is the text between `//` and the last `@` before the path (RFC 3986, 3.2.1).
const USER_INFORMATION = /\/\/[^\s/?#]*@/g;

/** `text` with the user information of every URL in it replaced by `***`. */
export function maskCredentials(text: string): string {
  return text.replace(USER_INFORMATION, '//***@');
}
