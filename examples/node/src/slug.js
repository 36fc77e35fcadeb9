/** Lower case, without accents, words joined by `-`: "Hello, Wörld!" gives "hello-world". */
export function slug(title) {
  const plain = title.normalize("NFKD").replace(/[^\x00-\x7f]/g, "");
  return (plain.toLowerCase().match(/[a-z0-9]+/g) ?? []).join("-");
}
