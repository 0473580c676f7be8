// Tells the browser in which language the page is, for those who have it read to them. A call may be carried out after
// one that was made later, so each has its time; and nothing else may say otherwise.
export default function ({ data }) {
  const kept = (window.esaclSpoken ??= { at: 0, language: data.language });
  if (data.at < kept.at) return;
  Object.assign(kept, data);
  const say = () => {
    if (document.documentElement.lang !== kept.language) document.documentElement.lang = kept.language;
  };
  kept.watch ??= new MutationObserver(say);
  kept.watch.observe(document.documentElement, { attributes: true, attributeFilter: ["lang"] });
  say();
}
