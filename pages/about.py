"""What the tool does, how to read it, and what it can't."""

import streamlit as st

from ui.model import load_inspector
from ui.navigation import require_router
from ui.own_folder import show_deletion
from ui.text import percent

require_router()
card = load_inspector().card

with st.container(width=760):
    st.title("How it works", anchor=False)
    st.markdown(
        """
A neural network (VGG16) looks twice at your photo, which is made brighter if it is dark: squeezed
to 288 × 288 pixels, and then smaller, mirrored and in grey; the mean of both looks counts. A photo
with a side of more than 448 pixels is seen with a third more pixels in all, in its own shape, and
one of 2 megapixels or more is then searched piece by piece in its own pixels, for cracks too thin
to be seen in the whole. That gives two things: the probability that the photo shows a crack, and
for each place in the picture how much that place speaks for one.
"""
    )

    st.subheader("Reading the probability", anchor=False)
    st.markdown(
        f"""
It is calibrated over photos of all kinds of surface together: of those given 80 %, about 80 in 100
show a crack. For one kind it can be further off. From **{percent(card.verdict_threshold)}** up the
verdict is “Crack found”. A photo of what looks like no wall or floor needs more evidence for that.
"""
    )

    st.page_link(
        "pages/model.py",
        label="How good the model is, for each kind of surface",
        icon=":material/monitoring:",
    )

    st.subheader("Reading the heatmap", anchor=False)
    st.markdown(
        """
- **Class activation map** is what the network saw ([Zhou et al. 2016](https://arxiv.org/abs/1512.04150)):
  a coarse grid, smoothed, that shows about where to look. Its colours are evidence for a crack, in
  log-odds: 0 is undecided, and +2.3 is odds of ten to one. Averaged over a small photo it is the
  log-odds of the probability, but for a shift by what kind of surface it shows and by how much what
  is most like a crack stands out; a large photo is judged by the third of it, in height and width,
  that speaks most for a crack, or by the piece of that kind that stands out most in the search.
- **Crack** follows the crack itself: it is that evidence times how much each pixel looks like a
  crack, that is, darker than its surroundings, the bottom of a dark valley, or one to a decoder
  on the network's layers, and no long straight joint. Evidence in one place counts a little way
  along the crack. It can't show what the network has no evidence for, and near a crack a dark
  joint can glow with it.
- **As in the article** is the map as the tutorial this began with draws it: of the class that the
  verdict names by itself, over its own maximum. Every photo has a hottest place in it, a sound wall
  too, where it shows what speaks for no crack.
- One colour means the same amount in every photo, but for that map and for a faint *Crack* in a
  photo that is called cracked: it is raised until it can be seen, and where a wall is surely
  cracked (90 %), so is what goes on from a crack that is drawn. Weak heat is not drawn, so that a
  sound wall looks sound. *Hide heat below* moves that limit and changes nothing else.
"""
    )

    st.subheader("Limits", anchor=False)
    st.markdown(
        """
- Hairline cracks in a photo of a whole wall vanish when it is made small. Go near: about an arm's
  length, square on, in even light.
- It says nothing about how deep or dangerous a crack is. It does not replace an engineer.
"""
    )

    st.subheader("Your photos", anchor=False)
    st.markdown(
        """
- A photo you **inspect** is held in memory for your visit and is not written to disk. One given by
  web address is fetched by the server that runs this page, and its address becomes part of the
  page's own, so that you can share it.
- **Training** keeps more: the photos you bring to *Train*, those you label on *Inspect*,
  and the models made of them lie in a private folder on this server. They teach your own models
  only; no other visitor sees or uses them.
- Your browser finds that folder again by a random token in a cookie, which is set when you first
  keep something there, and not before.
- The folder is deleted a day after your last use of it, or at once with *Delete everything of
  mine*, which is below once there is something to delete.
"""
    )
    show_deletion()
