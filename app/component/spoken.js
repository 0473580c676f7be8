// Tells the browser in which language the page is, for those who have it read to them. The one place that does: an
// element that is about to be replaced must not say it once more.
export default function (component) {
  document.documentElement.lang = component.data.language;
}
