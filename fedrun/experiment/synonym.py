"""The field's words for what has another name here.

Papers and other frameworks call one thing by several names. This table is for hints in refusals
only: none of its words is accepted. Each line is `what it is called here: what others say`; cases,
`-` and `_` do not matter. A hint is one of the same group, or written out (`local=adam`,
`clients.count`).
"""

from __future__ import annotations

CHOICES = {
    "data": """
        fashion_mnist: fmnist
        cifar10 cifar100: cifar
        uci_har: har
        heart_disease: heart flamby fed_heart_disease
        credit_default: credit
        breast_cancer: cancer
        libsvm: covtype rcv1 ijcnn svmlight
        table: csv npz tabular
        huggingface: hf
        image_folder: images imagenet tiny_imagenet
        blobs: gaussians
    """,
    "partition": """
        dirichlet classes: label_skew label
        dirichlet shards: noniid niid heterogeneous hetero
        dirichlet: lda label_dir noniid_label_dir dir latent_dirichlet hetero_dir
        classes: noniid_label n_classes
        shards: pathological shard
        iid: homo homogeneous uniform random
        quantity_dirichlet: quantity quantity_skew iid_diff_quantity
        quantity_lognormal quantity_dirichlet: unbalanced imbalanced
        quantity_power: power_law
        feature_noise: noise gaussian_noise
        feature_noise rotation: feature_skew feature covariate_shift
        rotation: rotated
        label_swap: label_flip concept_shift
        natural: real real_world user users owner writer by_user
    """,
    "model": """
        mlp: 2nn dnn fc fnn dense fully_connected
        logistic: lr logreg log_reg logistic_regression softmax linear mclr
        cnn: conv convnet convolutional
        cnn1d: 1dcnn conv1d
        lenet: lenet5 simple_cnn
        resnet18: resnet
        char_lstm: lstm rnn char_rnn gru
        transformer: gpt bert attention
    """,
    "algorithm": """
        fedadam fedyogi fedadagrad: fedopt adaptive
        fedavgm: slowmo server_momentum
        fedavg: local_sgd
        fedsgd: sgd minibatch_sgd
        qfedavg: qffl
        afl: agnostic agnostic_fl
        local_only: local standalone individual
        finetune: fedavg_ft ft personalized
        per_fedavg: fedmaml maml
        fedadmm: admm
        fedntd: ntd
        ifca cfl: clustered clustering
        scaffold: control_variates
        privacy=central: dp_fedavg dp central_dp
        privacy=example: dp_sgd
    """,
    "local": """
        adam: adamw
        sgd: momentum
    """,
    "server": """
        sgd: fedavg fedavgm momentum
        adam: fedadam fedopt
        yogi: fedyogi
        adagrad: fedadagrad
    """,
    "privacy": """
        central: dp cdp dp_fedavg user client client_level user_level
        example: dpsgd opacus sample record example_level
        local: ldp label label_dp
        adaptive_clip: adaptive
        banded_mf: mf dp_mf matrix_factorization
        dp_ftrl: ftrl tree
        none: off false
    """,
    "system": """
        stragglers: delay late drop
        uneven: heterogeneous partial_work
    """,
    "engine": """
        eager: torch pytorch autograd serial sequential
        stack: vmap batched
    """,
    "tracker": """
        tensorboard: tb
        wandb: wb weights_and_biases
    """,
}

OPTIONS = {
    "partition": """
        alpha: beta concentration dir_alpha
        classes_per_client: k c classes n_classes num_classes labels_per_client
        shards_per_client: k shards num_shards
        sigma: noise std sd
        min_examples: min_size min_samples min_require_size
        clients.count: clients n_clients num_clients n_parties
    """,
    "model": """
        hidden: hidden_size hidden_dim hidden_sizes layers units width
        units: hidden hidden_size hidden_dim
        channels: filters
        layers: depth num_layers
        heads: num_heads
    """,
    "algorithm": """
        clusters: k n_clusters num_clusters
        mu lam: lambda proximal_mu prox
        lam: mu
        mu: lam
        alpha: mu lambda
        rho: mu
        tau: temperature
        ascent: step_size
        inner_steps: k
        head: layers head_layers
        head_epochs: local_head_epochs
        epochs: finetune_epochs personal_epochs
        clients.per_round: fraction fraction_fit c
    """,
    "local": """
        lr: learning_rate eta client_lr
        batch_size: batch b bs
        epochs: e num_epochs local_epochs
        steps: iterations local_steps k
        weight_decay: wd l2
        clip_norm: clip max_grad_norm
        schedule: scheduler lr_schedule
        decay: gamma lr_decay
        local=sgd local=adam: optimizer opt
    """,
    "server": """
        lr: learning_rate eta eta_g global_lr server_lr
        tau: epsilon eps
        server=sgd server=adam: optimizer opt
    """,
    "privacy": """
        noise_multiplier: sigma noise z
        target_epsilon: epsilon eps
        clip_norm: clip c max_grad_norm l2_norm_clip
    """,
    "engine": """
        workers: jobs n_jobs processes num_workers
    """,
}

KEYS = """
    rounds: num_rounds n_rounds comm_round communication_rounds global_rounds global_epochs t
    clients.count: num_clients n_clients n_parties k
    clients.count: clients.number clients.total clients.num clients.n
    clients.per_round: clients.fraction clients.sample clients.participation clients.fraction_fit
    clients.per_round: fraction fraction_fit client_fraction sample_fraction participation c
    local.epochs: epochs e num_epochs
    local.batch_size: batch b bs
    local.lr: learning_rate client_lr eta
    server.lr: server_lr global_lr eta_g
    local: optimizer client_optimizer
    algorithm: method strategy aggregator aggregation
    model: net network arch architecture
    data: dataset
    partition: split
    privacy: dp
    tracker: logger logging
    engine.workers: workers num_workers n_jobs
    device: gpu cuda
    seed: random_seed init_seed
    run.dir: out output output_dir save_dir
    evaluate.every: eval_every test_every frequency_of_the_test
    stop.value: target_accuracy
    stop.patience: early_stopping
"""

VALUES = """
    examples: size sizes samples num_examples weighted data
    uniform: equal same unweighted
    inverse: inverse_time
    exponential: exp
    cosine: cos
    step: multistep
    group: gn group_norm
    batch: bn batch_norm
    fo: first_order
    hf: hessian_free
    gaussian: normal
"""


# Known to the field and not offered: how a group grows, and the words.
NOT_OFFERED = {
    "algorithm": (
        "one file adds a method: README.md, 'Add your own algorithm'",
        """
        fedasync fedbuff fedexp fedcm fedpd fedspeed feddc fedsam fedacg feddecorr fedcurv fedmgda
        fedmgda+ fedsplit scaffnew proxskip fedpaq fedcom signsgd
        fedmd feddf fedgen fedgkt fedproto fedma ccvr fedrs fedmix fedfa
        pfedhn fedrod fedala fedfomo fedamp fedphp fedpac fedcp fedgh
        krum multi_krum median trimmed_mean bulyan rfa fltrust
        """,
    ),
    "data": (
        "one file adds a set: fedrun/data/README.md, 'Adding a set'",
        """
        celeba sent140 sentiment140 reddit stackoverflow cinic10 svhn kmnist qmnist medmnist
        pathmnist
        """,
    ),
}

WHOLE = ("inf full all null none -1", "0 is the whole local set")
ONE_CLASS = (
    "0 0.0",
    "its limit, one class a client, is partition=classes partition.classes_per_client=1",
)
# Values that are refused and have another form here: the values, and that form.
MEANT = {
    "local=sgd.batch_size": WHOLE,
    "local=adam.batch_size": WHOLE,
    "clients.per_round": ("0 0.0", "the papers' C=0 is one client: clients.per_round=1"),
    "partition=dirichlet_client.alpha": ONE_CLASS,
    "partition=dirichlet_fixed.alpha": ONE_CLASS,
    "partition=dirichlet_prior.alpha": ONE_CLASS,
}


def called_here(table: str, word: str) -> list[str]:
    """What a word of the field is called here, in the table's order.

    >>> called_here(CHOICES["algorithm"], "q-FFL")
    ['qfedavg']
    """
    found: dict[str, None] = {}
    for line in table.split("\n"):
        here, _, words = line.partition(":")
        if plain(word) in map(plain, words.split()):
            found |= dict.fromkeys(here.split())
    return list(found)


def plain(word: str) -> str:
    """A word without what people write differently."""
    return word.lower().replace("_", "").replace("-", "")
