#!/bin/sh
# Everything that the default model can do, one question after the other; from any folder: examples/try.sh
cd "$(dirname "$0")/.." || exit
ask() {
  echo
  echo "> ./tessera run $*"
  ./tessera run "$@"
}
ask --image examples/departures.png "Read the board."
ask --image examples/departures.png "Which gate for New York?"
ask --image examples/departures.png "Which flights are delayed?"
ask --image examples/railway.png "Which flights are cancelled?"
ask --image examples/pictures.png "What is in the picture?"
ask --audio examples/announcement.wav "Transcribe this."
ask --audio examples/digits.wav "Transcribe this."
ask --image examples/departures.png --audio examples/question.wav "Answer the question."
ask --image examples/clouds.jpg "What do you see?"
ask "What is the capital of France?"
