// Puts the cursor into the line that searches the glossary. Streamlit draws a popover at the end of the page, a long way
// by Tab from its button. Not where there is no mouse: there a keyboard would rise over the terms.
export default function () {
  let frames = 600;  // the line itself may still be loading; and whoever has gone on meanwhile is left alone
  const look = () => {
    const line = document.querySelector(".st-key-glossary-find input");
    const waits = document.activeElement === document.body || document.activeElement?.closest(".st-key-glossary");
    if (line && waits) line.focus({ preventScroll: true });
    else if (waits && frames--) requestAnimationFrame(look);
  };
  if (matchMedia("(hover: hover)").matches) look();
}
