from ..support.certificates import make_certificate as make_certificate
