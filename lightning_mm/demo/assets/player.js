(() => {
  "use strict";
  const player = (element) => element.closest && element.closest(".mm-player");
  const videos = (of) => [of.querySelector(".mm-before"), of.querySelector(".mm-after")];

  function play(of, wished) {
    for (const video of videos(of)) wished ? video.play().catch(() => {}) : video.pause();
    of.querySelector(".mm-play").textContent = wished ? "Pause" : "Play";
  }

  function inStep(of) {
    const [before, after] = videos(of);
    if (Math.abs(after.currentTime - before.currentTime) > 0.02 && !after.seeking) after.currentTime = before.currentTime;
  }

  // Events of videos do not bubble, but pass on their way down.
  document.addEventListener("timeupdate", (event) => {
    const of = player(event.target);
    if (!of || !event.target.matches(".mm-before")) return;
    inStep(of);
    if (event.target.duration) of.querySelector(".mm-seek").value = event.target.currentTime / event.target.duration;
  }, true);

  document.addEventListener("loadeddata", (event) => {
    const of = player(event.target);
    if (of && videos(of).every((video) => video.readyState >= 2)) play(of, true);
  }, true);

  document.addEventListener("input", (event) => {
    const of = player(event.target), [before, after] = of ? videos(of) : [];
    if (!of) return;
    if (event.target.matches(".mm-split")) of.style.setProperty("--split", `${event.target.value}%`);
    if (event.target.matches(".mm-seek")) {
      play(of, false);
      before.currentTime = after.currentTime = event.target.value * before.duration;
    }
    if (event.target.matches(".mm-speed")) before.playbackRate = after.playbackRate = Number(event.target.value);
  });

  document.addEventListener("click", (event) => {
    const of = player(event.target);
    if (!of) return;
    if (event.target.matches(".mm-play")) play(of, videos(of)[0].paused);
    if (event.target.matches(".mm-view")) {
      const beside = of.classList.toggle("mm-beside");
      event.target.textContent = beside ? "Split" : "Side by side";
    }
  });
})();
