// URLs as they may be shown: without the user and password of whoever configured them.

// Within a URL, what stands between `//` and the last `@` before the path is the user information (RFC 3986, 3.2.1).
const USER_INFORMATION = /\/\/[^\s/?#]*@/g;

/** `text` with the user information of every URL in it replaced by `***`. */
export function maskCredentials(text: string): string {
  return text.replace(USER_INFORMATION, '//***@');
}
