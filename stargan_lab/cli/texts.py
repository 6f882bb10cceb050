"""Long texts of ``--help``. Imports nothing, so that help is quick."""

DESCRIPTION = """\
A laboratory for StarGAN: swap any part, train every variant over several seeds, and see what helped.

  stargan-lab train preset=quickstart          one run, a few minutes on two cores, draws its own data
  stargan-lab sweep quickstart                 nine runs: three norms of the discriminator, three seeds, and a report
  stargan-lab ui quickstart                    the same runs in MLflow's pages

Everything is written below outputs/ of the current folder."""

LIST = """\
examples:
  stargan-lab list                               every axis, its names and values
  stargan-lab list discriminator                 its options: default, what they take, what they mean, and the source
  stargan-lab list discriminator.norm            the names one option takes
  stargan-lab list norm imports=[my_norms]       your own registered parts among them
  stargan-lab list generator --config-dir conf   your own YAML files among them"""

DOCTOR = """\
Looks only: nothing is written, no work begins. Every line is ok, note (worth knowing) or problem (the configuration
cannot run). Ends with 0, or with 1 after a problem. Without key=value the machine is looked at; that the default
configuration's dataset is missing is then a note.

examples:
  stargan-lab doctor
  stargan-lab doctor preset=quickstart
  stargan-lab doctor data.sources.celeba.root=/data/celeba trainer.device=cuda trainer.precision=bfloat16"""

COMPLETION = """\
turn it on for this shell:
  eval "$(stargan-lab completion bash)"
and for every new one, with stargan-lab on the path:
  echo 'eval "$(stargan-lab completion bash)"' >> ~/.bashrc
then TAB completes commands, flags, groups, keys and their values, ablations and run ids:
  stargan-lab train preset=q<TAB>
  stargan-lab train generator.<TAB>
  stargan-lab sweep <TAB>"""

DATA = """\
make    draw what is missing (by default data=synthfaces) and pack it
check   look through a dataset: what is broken, missing, doubled; 1 when there is a problem
pack    crop and resize every image once, as training would at its start

  stargan-lab data make data=synthfaces data.image_size=64 data.sources.faces.train=1000
  stargan-lab data check data=rafd data.sources.rafd.root=/data/RaFD
  stargan-lab data pack data.sources.celeba.root=/data/celeba"""

TO = (
    "outputs apart by commas, in each labels apart by +: Blond_Hair,Male+Young; Male=0 asks for without; a name that"
    " several datasets have is written dataset.name"
)

FID = """\
Prints {"metric", "value", "protocol"} as JSON, everything else goes to stderr. REAL and FAKE are folders of images
(bmp, jpg, jpeg, pgm, png, ppm, tif, tiff, webp; not those in folders within), or an .npz of pytorch-fid's --save-stats.
A distance is called fid only with 2,048 features of the official Inception weights. Statistics of a folder are kept
under the outputs and found again by its content.

examples:
  stargan-lab fid photos translations --weights download         fetches the official weights once
  stargan-lab fid photos translations | jq .value                finds the weights it fetched
  stargan-lab fid photos translations --dims 192                 fewer features, for few images
  stargan-lab fid celeba.npz translations                        statistics that pytorch-fid saved
  stargan-lab fid photos translations --weights mine.pth --allow-unverified
  stargan-lab fid photos translations --features torchscript --weights mine.pt"""

EVALUATE = """\
examples:
  stargan-lab evaluate 3f2a                                      again as it was trained to be scored
  stargan-lab evaluate 3f2a evaluation.extractor=inception evaluation.weights=download
  stargan-lab evaluate 3f2a 9c01 evaluation.max_images=500 --json
  stargan-lab evaluate --of quickstart evaluation.extractor=pixels
  stargan-lab evaluate 3f2a --again                              although these scores are there"""
